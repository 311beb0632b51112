package main

import (
	"bytes"
	"context"
	"flag"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var settings = map[string]string{"STRIPE_API_KEY": "test-key", "STRIPE_WEBHOOK_SECRET": testSecret, "SPARKLOOP_API_KEY": "test-key"}

func TestRunSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	without := func(missing string) func(string) string {
		return func(name string) string {
			if name == missing {
				return ""
			}
			return settings[name]
		}
	}
	for _, name := range []string{"STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET"} {
		assert.EqualError(t, run(t.Context(), nil, without(name), &bytes.Buffer{}), name+" is not set; see -h")
	}
	require.ErrorContains(t, run(t.Context(), nil, without("SPARKLOOP_API_KEY"), &bytes.Buffer{}), "API key")
	assert.EqualError(t, run(t.Context(), []string{"-confirm-on", "renewal"}, without(""), &bytes.Buffer{}),
		`-confirm-on is "renewal": it must be checkout or payment`)
}

// interrupted is a terminal where Ctrl-C is pressed once something is printed.
type interrupted struct {
	bytes.Buffer

	press func()
}

func (i *interrupted) Write(p []byte) (int, error) {
	i.press()
	return i.Buffer.Write(p)
}

func TestRunEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	getenv := func(name string) string { return settings[name] }
	file := filepath.Join(t.TempDir(), "sparkloop.db")
	stderr := &interrupted{press: cancel}
	require.NoError(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-queue", file}, getenv, stderr))
	assert.Contains(t, stderr.String(), "/webhook")

	require.ErrorContains(t, run(t.Context(), []string{"-addr", "127.0.0.1:-1", "-queue", file}, getenv, stderr), "invalid port")
	require.ErrorContains(t, run(t.Context(), []string{"-queue", t.TempDir()}, getenv, stderr), "open")
	require.ErrorContains(t, run(t.Context(), []string{"-nonsense"}, nil, stderr), "nonsense")
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, nil, stderr), flag.ErrHelp)
}
