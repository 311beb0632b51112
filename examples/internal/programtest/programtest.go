// Package programtest is for tests that run a whole example.
package programtest

import (
	"bytes"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Output is what a program has printed so far. It is safe for concurrent use.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Find waits for text that matches, and returns its first group.
func (o *Output) Find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	require.Eventually(t, func() bool { return re.MatchString(o.String()) }, 20*time.Second, 5*time.Millisecond, pattern)
	return re.FindStringSubmatch(o.String())[1]
}

// InOrder asserts that text has a match for each pattern, one after the other.
func InOrder(t *testing.T, text string, patterns ...string) {
	t.Helper()
	rest := text
	for _, pattern := range patterns {
		at := regexp.MustCompile(pattern).FindStringIndex(rest)
		require.NotNil(t, at, "%s in what is left of\n%s", pattern, text)
		rest = rest[at[1]:]
	}
}

// Env returns a function that does what os.Getenv does.
func Env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}
