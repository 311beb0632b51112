package riveroutbox

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const soonEnough = 20 * time.Second // a fraction of a second on an idle machine

// newPool returns a pool on a fresh database.
func newPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return poolOn(t, pgtest.Shared(t).Database(t))
}

func poolOn(t *testing.T, url string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = 8
	for _, change := range change {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// quick returns options with short pauses.
func quick(change ...func(*Options)) Options {
	o := Options{Options: outbox.Options{
		RetryMin: 10 * time.Millisecond,
		RetryMax: 50 * time.Millisecond,
		Logger:   slog.New(slog.DiscardHandler),
	}}
	for _, change := range change {
		change(&o)
	}
	return o
}

func enqueueOnly(o *Options) { o.Workers = -1 }

func openBox(t *testing.T, pool *pgxpool.Pool, c *sparkloop.Client, o Options) *Outbox {
	t.Helper()
	box, err := Open(t.Context(), pool, c, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, box.Close(context.Background())) })
	return box
}

// newAPI returns a fake SparkLoop without a rate limit.
func newAPI(t *testing.T) *sparklooptest.Server {
	t.Helper()
	return sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, time.Minute))
}

func click(api *sparklooptest.Server) sparkloop.Tracking {
	_, t := api.Click("", "https://shop.example/")
	t.CapturedAt = time.Now().UTC().Truncate(time.Second)
	return t
}

// reaches waits until a conversion is in a state.
func reaches(t *testing.T, box *Outbox, tracking sparkloop.Tracking, s outbox.State) outbox.Entry {
	t.Helper()
	var e outbox.Entry
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var found bool
		var err error
		e, found, err = box.Lookup(t.Context(), tracking)
		require.NoError(c, err)
		require.True(c, found)
		require.Equal(c, s, e.State, e.Reason)
	}, soonEnough, 10*time.Millisecond)
	return e
}

// exec runs a statement on the outbox's default schema.
func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), in(defaultSchema, sql), args...)
	require.NoError(t, err)
}

// one returns the single value of a statement.
func one[T any](t require.TestingT, pool *pgxpool.Pool, sql string, args ...any) T {
	var value T
	require.NoError(t, pool.QueryRow(context.Background(), in(defaultSchema, sql), args...).Scan(&value))
	return value
}

// mustSweep sweeps n clicks.
func mustSweep(t *testing.T, box *Outbox, n int, api *sparklooptest.Server) []sparkloop.Tracking {
	t.Helper()
	ts := make([]sparkloop.Tracking, n)
	for i := range ts {
		ts[i] = click(api)
	}
	fresh, err := chores{box}.Sweep(t.Context(), ts, 2)
	require.NoError(t, err)
	require.Equal(t, n, fresh)
	return ts
}

// jsonText returns a text as JSON.
func jsonText(text string) string {
	b, _ := json.Marshal(text) //nolint:errchkjson // a string
	return string(b)
}
