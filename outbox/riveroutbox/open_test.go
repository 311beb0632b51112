package riveroutbox

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	pool := poolOn(t, url)
	client := newAPI(t).Client()

	_, err := Open(t.Context(), nil, client, quick())
	require.EqualError(t, err, "sparkloop outbox: open: the pool is nil")
	_, err = Open(t.Context(), pool, nil, quick())
	require.EqualError(t, err, "sparkloop outbox: open: the client is nil")
	_, err = Open(t.Context(), pool, client, quick(func(o *Options) { o.Keep = time.Hour }))
	require.ErrorContains(t, err, "Options.Keep: 1h0m0s")

	require.NoError(t, Migrate(t.Context(), pool, ""))

	replica := poolOn(t, url, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on" })
	_, err = Open(t.Context(), replica, client, quick(func(o *Options) { o.NoMigrate = true }))
	require.ErrorContains(t, err, "the database is read-only")

	gone := poolOn(t, url, func(c *pgxpool.Config) { c.ConnConfig.Port = 1 })
	_, err = Open(t.Context(), gone, client, quick())
	require.Error(t, err)
}

func TestOpenWithAContextThatEnds(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ended, pool, api.Client(), quick())
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel := context.WithCancel(t.Context())
	box, err := Open(ctx, pool, api.Client(), quick())
	require.NoError(t, err)
	defer box.Close(context.Background())
	cancel() // like a deferred cancel at the end of start-up
	tracking := click(api)
	require.NoError(t, box.Enqueue(t.Context(), tracking))
	reaches(t, box, tracking, outbox.Confirmed)
}

func TestOpenWaitsForALock(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	require.NoError(t, Migrate(t.Context(), pool, ""))
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // the end of the lock
	_, err = tx.Exec(t.Context(), in(defaultSchema, `LOCK TABLE {schema}.river_queue`))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, pool, api.Client(), quick())
	require.ErrorIs(t, err, context.DeadlineExceeded, "River's start has the same bound")
}

func TestOpenSendsNothing(t *testing.T) {
	t.Parallel()
	api := newAPI(t)
	openBox(t, newPool(t), api.Client(), quick())
	assert.Empty(t, api.Requests())
}

// TestOneConnectionIsEnough uses a pool of one connection. The connection for
// LISTEN does not count.
func TestOneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	api := newAPI(t)
	box := openBox(t, poolOn(t, url, func(c *pgxpool.Config) { c.MaxConns = 1 }), api.Client(), quick())
	listening := `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'`
	watch := poolOn(t, url)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, 1, one[int](c, watch, listening))
	}, soonEnough, 50*time.Millisecond)
	for range 5 {
		tracking := click(api)
		require.NoError(t, box.Enqueue(t.Context(), tracking))
		reaches(t, box, tracking, outbox.Confirmed)
	}
}

// TestBouncer uses each query mode that works behind PgBouncer in transaction mode.
func TestBouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheDescribe} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			pool := poolOn(t, pgtest.Shared(t).Database(t), func(c *pgxpool.Config) {
				c.ConnConfig.DefaultQueryExecMode = mode
				c.MaxConns = 1
			})
			api := newAPI(t)
			box := openBox(t, pool, api.Client(), quick(func(o *Options) {
				o.PollOnly = true
				moved := func() time.Time { return time.Now().Add(-time.Hour) }
				o.Now = moved
			}))
			tracking, dead := click(api), click(api)
			dead.Submission = "unknown"
			require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return box.EnqueueTx(t.Context(), tx, tracking) }))
			require.NoError(t, box.Enqueue(t.Context(), dead))
			reaches(t, box, tracking, outbox.Confirmed)
			e := reaches(t, box, dead, outbox.Dead)

			n, err := box.Redrive(t.Context(), e.ID)
			require.NoError(t, err)
			assert.Equal(t, 1, n)
			missing, err := chores{box}.Missing(t.Context(), append(mustSweep(t, box, 2, api), dead))
			require.NoError(t, err)
			assert.Empty(t, missing)
			s, err := box.Stats(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 2, s.Swept)
			require.NoError(t, chores{box}.Tidy(t.Context(), time.Now(), time.Now()))
			require.NoError(t, box.sort(t.Context()))
			require.NoError(t, box.rescue(t.Context()))
			_, err = box.waiting(t.Context(), delivery.Filter{Limit: 1})
			require.NoError(t, err)
			for _, err := range box.List(t.Context(), outbox.Confirmed) {
				require.NoError(t, err)
			}
		})
	}
}

// beside is a job of the application.
type beside struct{}

func (beside) Kind() string { return "beside" }

type besideWorker struct {
	river.WorkerDefaults[beside]
	worked chan struct{}
}

func (w *besideWorker) Work(context.Context, *river.Job[beside]) error {
	close(w.worked)
	return nil
}

func TestApplicationHasARiverOfItsOwn(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	require.NoError(t, err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	worker := &besideWorker{worked: make(chan struct{})}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	app, err := river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
		Workers: workers,
	})
	require.NoError(t, err)
	require.NoError(t, app.Start(context.Background()))
	defer app.Stop(context.Background()) //nolint:errcheck // the end of the test

	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick())
	tracking := click(api)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := app.InsertTx(t.Context(), tx, beside{}, nil); err != nil {
			return err
		}
		return box.EnqueueTx(t.Context(), tx, tracking)
	}))
	reaches(t, box, tracking, outbox.Confirmed)
	select {
	case <-worker.worked:
	case <-time.After(soonEnough):
		require.Fail(t, "the application's job is not worked")
	}
	assert.Equal(t, 1, one[int](t, pool, `SELECT count(*) FROM public.river_job`))
	assert.Equal(t, 1, one[int](t, pool, `SELECT count(*) FROM {schema}.river_job`))
	require.NoError(t, app.Stop(t.Context()))
}
