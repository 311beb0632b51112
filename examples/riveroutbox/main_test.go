package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
)

// TestMain lets the story start this binary as it starts the program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-child" {
		main()
		return
	}
	os.Exit(m.Run())
}

func newPool(t *testing.T) (*pgxpool.Pool, string) {
	t.Helper()
	url := pgtest.Shared(t).Database(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, url
}

func TestTheStory(t *testing.T) {
	t.Parallel()
	pool, url := newPool(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, programtest.Env(map[string]string{"DATABASE_URL": url}), nil, &out))
	programtest.InOrder(t, out.String(),
		`web     process \d+, http://127\.0\.0\.1:\d+/`, `worker  process \d+`,
		`2\. A reader buys`, `200 OK: Thank you! Your order has the number 1\.`, `✓ Confirmed: Conversion tracked successfully`,
		`3\. A card is declined`, `402 Payment Required: Your card was declined\.`, `the conversion is in the queue: false`,
		`4\. The worker is killed`, `number 3\.`, `number 4\.`, `number 5\.`, `3 pending`, `worker  process \d+ starts`, `(?:.*✓ Confirmed.*\n){3}`,
		`pending 0, confirmed 4, dead 0, expired 0, swept 0`,
	)
	var schemas int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'example%'`).Scan(&schemas))
	assert.Zero(t, schemas, "it leaves nothing")
}

func TestAStoryInADatabaseThatIsInUse(t *testing.T) {
	t.Parallel()
	pool, url := newPool(t)
	makeOrders(t, pool)
	err := run(t.Context(), nil, programtest.Env(map[string]string{"DATABASE_URL": url}), nil, &bytes.Buffer{})
	require.ErrorContains(t, err, "Drop both if you do not need them")
	makeOrders(t, pool) // safe to repeat
}

func TestAProcessThatDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := story.StartProcess(t.Context(), []string{"DATABASE_URL="}, "worker")
	require.ErrorContains(t, err, "DATABASE_URL is not set")
}

func TestAPurchase(t *testing.T) {
	t.Parallel()
	s, _ := newShop(t)
	tracking := tracked("submission_1")
	assert.Equal(t, http.StatusOK, buy(t, s, tracking, "good"))
	assert.Equal(t, http.StatusPaymentRequired, buy(t, s, tracked("submission_2"), "declined"))
	stats, err := s.queue.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, stats.Pending)
	_, found, err := s.queue.Lookup(t.Context(), tracking)
	require.NoError(t, err)
	assert.True(t, found)

	s.pool.Close()
	assert.Equal(t, http.StatusInternalServerError, buy(t, s, tracking, "good"))
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	try := func(values map[string]string, args ...string) (string, error) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out bytes.Buffer
		err := run(ctx, args, programtest.Env(values), strings.NewReader(""), &out)
		return out.String(), err
	}
	out, err := try(nil, "-h")
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, out, "DATABASE_URL")
	_, err = try(nil, "-x")
	require.ErrorContains(t, err, "-x")
	_, err = try(nil, "wrong")
	require.ErrorContains(t, err, `unknown arguments ["wrong"]`)
	_, err = try(nil, "web", "worker")
	require.ErrorContains(t, err, `expected web, worker`)
	_, err = try(nil, "web")
	require.ErrorContains(t, err, "DATABASE_URL is not set")
	_, err = try(map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/x"}, "web")
	require.ErrorContains(t, err, "API key")
	_, err = try(map[string]string{"DATABASE_URL": "nonsense", "SPARKLOOP_API_KEY": "k"}, "-child", "worker")
	require.Error(t, err)
	_, err = try(map[string]string{"DATABASE_URL": "nonsense", "SPARKLOOP_API_KEY": "k", "SPARKLOOP_BASE_URL": "x"}, "worker")
	require.ErrorContains(t, err, "WithBaseURL")
}

func TestTheProcessesEndWithTheOneThatStartedThem(t *testing.T) {
	t.Parallel()
	_, url := newPool(t)
	for _, role := range []string{"web", "worker"} {
		in, stop := io.Pipe()
		out, said := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- run(t.Context(), []string{"-child", "-addr", "127.0.0.1:0", role},
				programtest.Env(map[string]string{"DATABASE_URL": url, "SPARKLOOP_API_KEY": "k"}), in, said)
		}()
		line := make([]byte, 64)
		_, err := out.Read(line)
		require.NoError(t, err)
		go io.Copy(io.Discard, out) //nolint:errcheck // the rest does not matter
		stop.Close()
		require.NoError(t, <-ended)
	}
}
