package keytest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/keytest"
)

// caught is a testing.TB that records failures.
type caught struct {
	testing.TB

	errors  []string
	cleanup []func()
}

func (c *caught) Helper()          {}
func (c *caught) Cleanup(f func()) { c.cleanup = append(c.cleanup, f) }
func (c *caught) Errorf(format string, args ...any) {
	c.errors = append(c.errors, fmt.Sprintf(format, args...))
}

// search runs f and returns the recorded failures.
func search(f func(*keytest.Search)) []string {
	c := &caught{}
	f(keytest.New(c))
	for _, end := range c.cleanup {
		end()
	}
	return c.errors
}

type hidden struct{ key string }

type loud struct{}

func (loud) MarshalJSON() ([]byte, error) { return nil, errors.New(keytest.Key) }

func TestTheKeyIsFound(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"a text": keytest.Key, "bytes": []byte(keytest.Key), "a field": hidden{keytest.Key}, "a pointer": &hidden{keytest.Key}, "an error": errors.New("x " + keytest.Key),
		"in lower case": strings.ToLower(keytest.Key), "a part": keytest.Key[:12], "a map": map[string]string{keytest.Key: ""}, "JSON": loud{},
	} {
		assert.NotEmpty(t, search(func(s *keytest.Search) { s.Values("it", v) }), name)
	}
	assert.NotEmpty(t, search(func(s *keytest.Search) { s.Text("it", fmt.Sprintf("% x", keytest.Key)) }))
	assert.NotEmpty(t, search(func(s *keytest.Search) { s.Logger().With("a", 1).WithGroup("g").Debug("x", "key", keytest.Key) }))
}

func TestNothingIsFound(t *testing.T) {
	t.Parallel()
	inClosure := func() string { return keytest.Key }
	assert.Empty(t, search(func(s *keytest.Search) {
		s.Values("it", inClosure, struct{ F func() string }{inClosure}, "another text", 7, nil, (*hidden)(nil), errors.New("x"))
		s.Logger().Info("nothing")
		assert.Contains(t, s.Log(), `"msg":"nothing"`)
	}))
}
