package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var settings = map[string]string{"STRIPE_API_KEY": "test-key", "STRIPE_WEBHOOK_SECRET": testSecret, "SPARKLOOP_API_KEY": "test-key"}

func TestRunSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	without := func(names ...string) func(string) string {
		return func(name string) string {
			if slices.Contains(names, name) {
				return ""
			}
			return settings[name]
		}
	}
	for _, test := range []struct {
		getenv func(string) string
		args   []string
		want   string
	}{
		{without("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "SPARKLOOP_API_KEY"), nil, "not set: STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, SPARKLOOP_API_KEY"},
		{without("STRIPE_WEBHOOK_SECRET"), nil, "not set: STRIPE_WEBHOOK_SECRET"},
		{without(), []string{"-confirm-on", "renewal", "-queue", filepath.Join(t.TempDir(), "sparkloop.db")}, `-confirm-on is "renewal": it must be checkout or payment`},
	} {
		var stderr bytes.Buffer
		assert.EqualError(t, run(t.Context(), test.args, test.getenv, &stderr), test.want)
	}
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
	require.NoError(t, run(t.Context(), []string{"-help"}, nil, stderr))
}
