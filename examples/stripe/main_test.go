package main

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
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
		{without("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "SPARKLOOP_API_KEY"), nil, "stripe: not set: STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, SPARKLOOP_API_KEY\n"},
		{without("STRIPE_WEBHOOK_SECRET"), nil, "stripe: not set: STRIPE_WEBHOOK_SECRET\n"},
		{without(), []string{"-confirm-on", "renewal"}, "stripe: the conversion is on checkout or payment, not on \"renewal\"\n"},
	} {
		var stderr bytes.Buffer
		assert.Equal(t, 2, run(t.Context(), test.args, test.getenv, &stderr))
		assert.Equal(t, test.want, stderr.String())
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	assert.Equal(t, 0, run(ctx, []string{"-addr", "127.0.0.1:0"}, func(name string) string { return settings[name] }, &stderr))
	assert.Contains(t, stderr.String(), "/webhook")

	assert.Equal(t, 1, run(ctx, []string{"-addr", "127.0.0.1:-1"}, func(name string) string { return settings[name] }, &stderr))
	assert.Equal(t, 2, run(ctx, []string{"-nonsense"}, nil, &stderr))
	assert.Equal(t, 0, run(ctx, []string{"-help"}, nil, &stderr))
}
