package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestTheStory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, programtest.Env(nil), &out))
	programtest.InOrder(t, out.String(),
		`1\. A reader clicks`, `the checkout took \S+s`, `✓ Confirmed: Conversion tracked successfully`,
		`2\. SparkLoop is down`, `3 pending, the queue has paused: .*503 Service Unavailable`, `SparkLoop is back`, `(?:.*✓ Confirmed.*\n){3}`,
		`3\. The program is killed`, `order 5 is in orders\.db; its conversion is in the queue: false`, `Source found 1 missing conversion`, `✓ Confirmed`,
		`4\. Somebody makes up`, `✗ Refused, .*404 Submission not found`,
		`GET /metrics: 200`, `sparkloop_outbox_conversions{state="confirmed"} 5`, `sparkloop_outbox_conversions{state="dead"} 1`,
		`sparkloop_outbox_conversions{state="pending"} 0`, `sparkloop_outbox_paused 0`, `sparkloop_outbox_swept_conversions 1`, `sparkloop_outbox_up 1`,
		`GET /status\?format=json: 503`, `"healthy":false`,
		`6\. The end`, `closed;`,
	)
}

func TestAStoryThatIsStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, nil, programtest.Env(nil), &bytes.Buffer{}), context.Canceled)
}

// serving runs the program with a key; stop ends it, as Ctrl-C does.
func serving(t *testing.T, api *sparklooptest.Server, dir string) (home string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var out programtest.Output
	ended := make(chan error, 1)
	values := map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey, "SPARKLOOP_BASE_URL": api.URL()}
	go func() {
		ended <- run(ctx, []string{"-addr", "127.0.0.1:0", "-data", dir}, programtest.Env(values), &out)
	}()
	home = out.Find(t, `The shop is at (\S+)/,`)
	assert.Len(t, out.Find(t, `The password for /status and /metrics is (\S+)`), 26)
	return home, func() error {
		cancel()
		return <-ended
	}
}

func TestWithAKeyItServes(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	dir := t.TempDir()
	home, stop := serving(t, api, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	landing, tracking := api.Click("", home+"/")
	browser := story.NewBrowser()
	buy := func(landing string) {
		resp, err := browser.Get(landing)
		require.NoError(t, err)
		resp.Body.Close()
		resp, err = browser.PostForm(home+"/buy", url.Values{"item": {"notebook"}})
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	buy(landing)
	require.NoError(t, api.WaitConfirmed(ctx, tracking))
	buy(home) // no new click: nothing to confirm

	for _, path := range []string{"/status", "/status?format=json", "/metrics"} {
		resp, err := browser.Get(strings.Replace(home, "//", "//admin:wrong@", 1) + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		assert.NotContains(t, string(body), "sparkloop")
	}
	require.NoError(t, stop())
	assert.Len(t, api.Requests(), 1)

	// What was pending when it ended is delivered by the next one.
	_, tracking = api.Click("", home)
	idle, err := open(ctx, dir, api.Client(), "p", outbox.Options{Workers: -1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	_, err = place(ctx, idle.db, "notebook", tracking)
	require.NoError(t, err)
	require.NoError(t, idle.close(ctx))
	_, stop = serving(t, api, dir)
	require.NoError(t, api.WaitConfirmed(ctx, tracking))
	require.NoError(t, stop())
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	key := map[string]string{"SPARKLOOP_API_KEY": "k", "ADMIN_PASSWORD": "p"}
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, programtest.Env(nil), &out), flag.ErrHelp)
	assert.Contains(t, out.String(), "ADMIN_PASSWORD")
	require.ErrorContains(t, run(t.Context(), []string{"-x"}, programtest.Env(nil), &out), "-x")
	require.ErrorContains(t, run(t.Context(), []string{"-addr", "127.0.0.1:-1"}, programtest.Env(key), &out), "invalid port")
	require.ErrorContains(t, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-data", "/nowhere"}, programtest.Env(key), &out), "orders.db")
	key["SPARKLOOP_BASE_URL"] = "x"
	require.ErrorContains(t, run(t.Context(), nil, programtest.Env(key), &out), "WithBaseURL")
}
