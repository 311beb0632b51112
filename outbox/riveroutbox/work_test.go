package riveroutbox

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// TestRowStaysSmall has a conversion that fails often. The failures cost no attempt
// of River's and add nothing to its lists.
func TestRowStaysSmall(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	api.Fail(sparklooptest.Status(500, `{"error":"`+strings.Repeat("no ", 300)+`"}`), -1)
	box := openBox(t, pool, api.Client(), quick())
	tracking := click(api)
	require.NoError(t, box.Enqueue(t.Context(), tracking))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Greater(c, len(api.Requests()), 10)
	}, soonEnough, 10*time.Millisecond)
	api.Fail(sparklooptest.Fault{}, 0)
	e := reaches(t, box, tracking, outbox.Confirmed)
	assert.Equal(t, len(api.Requests()), e.Attempts)
	assert.LessOrEqual(t, one[int](t, pool, `SELECT attempt FROM {schema}.river_job`), 1)
	assert.Zero(t, one[int](t, pool, `SELECT coalesce(cardinality(errors), 0) FROM {schema}.river_job`))
	assert.Equal(t, 32767, one[int](t, pool, `SELECT max_attempts FROM {schema}.river_job`))
	assert.Less(t, one[int](t, pool, `SELECT pg_column_size(river_job.*) FROM {schema}.river_job`), 1500)
}

func TestFinishIsReportedOnce(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	ctx := t.Context()
	tracking := click(api)
	require.NoError(t, box.Enqueue(ctx, tracking))
	entry, _, err := box.Lookup(ctx, tracking)
	require.NoError(t, err)
	finish := func(s outbox.State, at time.Time, reason string) bool {
		t.Helper()
		e := entry
		e.State, e.FinishedAt, e.Reason = s, at, reason
		first, err := box.finish(ctx, e)
		require.NoError(t, err)
		return first
	}
	now := time.Now()

	assert.True(t, finish(outbox.Dead, now, "no\x00 and never"), "with a character that jsonb rejects")
	assert.True(t, finish(outbox.Dead, now, "no\x00 and never"), "the same answer again: the first result was lost")
	assert.False(t, finish(outbox.Dead, now.Add(time.Second), "no"), "another process was faster")
	assert.False(t, finish(outbox.Expired, now.Add(time.Second), "no"))
	e := reaches(t, box, tracking, outbox.Dead)
	assert.Equal(t, "no\x00 and never", e.Reason)
	assert.Equal(t, now.UTC().Truncate(time.Microsecond), e.FinishedAt)

	assert.True(t, finish(outbox.Confirmed, now.Add(2*time.Second), "yes"), "a confirmation overrides a refusal")
	assert.False(t, finish(outbox.Confirmed, now.Add(3*time.Second), "yes"))
	assert.False(t, finish(outbox.Dead, now.Add(3*time.Second), "no"))
	assert.Equal(t, "yes", reaches(t, box, tracking, outbox.Confirmed).Reason)
	exec(t, pool, `DELETE FROM {schema}.river_job`)
	assert.False(t, finish(outbox.Confirmed, now, "yes"), "it is deleted")
}

// TestHooksOnce has two processes that work on the same jobs, as after one was
// suspended for long.
func TestHooksOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	api := newAPI(t)
	var confirmed, dead atomic.Int32
	hooks := func(o *Options) {
		o.OnConfirmed = func(outbox.Entry) { confirmed.Add(1) }
		o.OnDead = func(outbox.Entry) { dead.Add(1) }
	}
	pool := poolOn(t, url)
	box := openBox(t, pool, api.Client(), quick(hooks))
	openBox(t, poolOn(t, url), api.Client(), quick(hooks))
	api.Fail(sparklooptest.Delay(300*time.Millisecond), 8)
	yes, no := click(api), click(api)
	no.Submission = "unknown"
	require.NoError(t, box.Enqueue(t.Context(), yes))
	require.NoError(t, box.Enqueue(t.Context(), no))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, 2, one[int](c, pool, `SELECT count(*) FROM {schema}.river_job WHERE state = 'running'`))
	}, soonEnough, time.Millisecond)
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'available' WHERE state = 'running'`)
	reaches(t, box, yes, outbox.Confirmed)
	reaches(t, box, no, outbox.Dead)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Len(c, api.Requests(), 4)
	}, soonEnough, 10*time.Millisecond)
	require.NoError(t, box.Close(t.Context()))
	assert.EqualValues(t, 1, confirmed.Load())
	assert.EqualValues(t, 1, dead.Load())
}

// TestRescue has jobs of a process that is gone, and of one that is running.
func TestRescue(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	running := func(age string) sparkloop.Tracking {
		t.Helper()
		tracking := click(api)
		require.NoError(t, box.Enqueue(t.Context(), tracking))
		exec(t, pool, `UPDATE {schema}.river_job SET state = 'running', attempt = 1, attempted_at = now() - $1::text::interval
			WHERE args->>'submission' = $2`, age, tracking.Submission)
		return tracking
	}
	gone, ahead, alive, mine := running("70 s"), running("-70 s"), running("50 s"), running("70 s")
	id := func(tracking sparkloop.Tracking) int64 {
		t.Helper()
		e, _, err := box.Lookup(t.Context(), tracking)
		require.NoError(t, err)
		return e.ID
	}
	box.inFlight.Store(id(mine), time.Time{})
	box.inFlight.Store(id(gone), time.Now().Add(-time.Minute)) // long ago
	require.NoError(t, box.rescue(t.Context()))
	state := func(tracking sparkloop.Tracking) string {
		t.Helper()
		return one[string](t, pool, `SELECT state || ' ' || attempt FROM {schema}.river_job WHERE id = $1`, id(tracking))
	}
	assert.Equal(t, "scheduled 0", state(gone), "no attempt of River's is lost")
	assert.Equal(t, "scheduled 0", state(ahead), "a wrong clock took it")
	assert.Equal(t, "running 1", state(alive))
	assert.Equal(t, "running 1", state(mine), "this process works on it")

	worker := openBox(t, pool, api.Client(), quick())
	reaches(t, worker, gone, outbox.Confirmed)
	reaches(t, worker, ahead, outbox.Confirmed)
}

// TestPausedQueueProbesWhatIsNotDue has a paused queue whose conversions are all due
// in an hour.
func TestPausedQueueProbesWhatIsNotDue(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	api.Fail(sparklooptest.Status(503, ""), -1)
	var paused atomic.Bool
	box := openBox(t, pool, api.Client(), quick(func(o *Options) { o.OnPaused = func(error) { paused.Store(true) } }))
	first, second := click(api), click(api)
	require.NoError(t, box.Enqueue(t.Context(), first))
	require.NoError(t, box.Enqueue(t.Context(), second))
	require.Eventually(t, paused.Load, soonEnough, 10*time.Millisecond)
	require.NoError(t, box.Close(t.Context()))
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour'`)

	api.Fail(sparklooptest.Fault{}, 0)
	box = openBox(t, pool, api.Client(), quick())
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		s, err := box.Stats(t.Context())
		require.NoError(c, err)
		require.Zero(c, s.PausedSince)
	}, soonEnough, 10*time.Millisecond)
}

// patience notes the statements that could wait too long.
type patience struct {
	opened atomic.Bool
	mu     sync.Mutex
	seen   string
	long   []string
}

func (p *patience) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	p.note(ctx, q.SQL)
	return ctx
}

func (p *patience) TraceBatchStart(ctx context.Context, _ *pgx.Conn, b pgx.TraceBatchStartData) context.Context {
	for _, q := range b.Batch.QueuedQueries {
		p.note(ctx, q.SQL)
	}
	return ctx
}

func (p *patience) note(ctx context.Context, sql string) {
	if end, ok := ctx.Deadline(); p.opened.Load() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen += sql
		if !ok || time.Until(end) > statementMax {
			p.long = append(p.long, sql)
		}
	}
}

func (p *patience) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (p *patience) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (p *patience) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// TestNothingWaitsForEver has a queue that sweeps, pauses, probes and resumes, and
// callers without a deadline.
func TestNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	api := newAPI(t)
	api.Fail(sparklooptest.Status(503, ""), 6)
	orders := []sparkloop.Tracking{click(api), click(api), click(api)}
	p := new(patience)
	pool := poolOn(t, url, func(c *pgxpool.Config) { c.ConnConfig.Tracer = p })
	box := openBox(t, pool, api.Client(), quick(func(o *Options) {
		o.Source = func(context.Context, time.Time) ([]sparkloop.Tracking, error) {
			p.opened.Store(true) // Open has its caller's bound, and has created the tables by now
			return orders, nil
		}
	}))
	look := openBox(t, poolOn(t, url), api.Client(), quick(enqueueOnly))
	for _, tracking := range orders {
		reaches(t, look, tracking, outbox.Confirmed)
	}
	forever := context.WithoutCancel(t.Context())
	require.NoError(t, box.Enqueue(forever, click(api)))
	_, err := box.Stats(forever)
	require.NoError(t, err)
	_, _, err = box.Lookup(forever, orders[0])
	require.NoError(t, err)
	for _, err := range box.List(forever, outbox.Confirmed) {
		require.NoError(t, err)
	}
	_, err = box.Redrive(forever, 1)
	require.NoError(t, err)
	_, err = box.RedriveAll(forever, outbox.Dead)
	require.NoError(t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.Empty(t, p.long)
	for _, part := range []string{"unnest($1::text[]) AS key", "INSERT INTO", "'retryable', 'scheduled'", "<> ALL", "LATERAL", "SET revision", "count(*)", "finalized_at = NULL"} {
		assert.Contains(t, p.seen, part, "the queue did not run this statement")
	}
}

// TestWorkerThatFails has rows that River cannot read. They are retried, and delay
// no other row.
func TestWorkerThatFails(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick())
	exec(t, pool, `INSERT INTO {schema}.river_job (args, kind, queue, max_attempts, unique_key, unique_states)
		VALUES ('{"offer": "a b"}', 'sparkloop_conversion', 'sparkloop', 32767, 'damaged', B'11111111')`)
	exec(t, pool, `INSERT INTO {schema}.river_job (args, kind, queue, max_attempts)
		VALUES ('{}', 'of_a_newer_version', 'sparkloop', 32767)`)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Greater(c, one[int](c, pool, `SELECT attempt FROM {schema}.river_job WHERE unique_key = 'damaged'`), 2)
	}, soonEnough, 10*time.Millisecond)
	tracking := click(api)
	require.NoError(t, box.Enqueue(t.Context(), tracking))
	reaches(t, box, tracking, outbox.Confirmed)
	assert.Zero(t, one[int](t, pool, `SELECT attempt FROM {schema}.river_job WHERE kind = 'of_a_newer_version'`))
	assert.Len(t, api.Requests(), 1)
	var es []outbox.Entry
	for e, err := range box.List(t.Context(), outbox.Pending) {
		require.NoError(t, err, "the damaged row does not hide the rest")
		es = append(es, e)
	}
	require.Len(t, es, 2)
	assert.Contains(t, es[1].Reason, "the row cannot be read: ")
}

func TestRiverLog(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	closing := make(chan struct{})
	log := slog.New(newRiverLog(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}), closing))
	log.Info("River client started")
	log.Warn("no connection", "err", "one")
	log.With("queue", "q").WithGroup("g").Error("no connection", "err", "two")
	log.Error("something else")
	assert.Equal(t, 2, strings.Count(text.String(), "\n"), text.String())
	assert.Contains(t, text.String(), `msg="sparkloop outbox: no connection" err=one`)

	s := &seen{at: make(map[string]time.Time)}
	now := time.Now()
	assert.False(t, s.lately("a", now))
	assert.True(t, s.lately("a", now.Add(quietFor-1)))
	assert.False(t, s.lately("a", now.Add(quietFor)))

	close(closing)
	log.Error("context canceled")
	assert.NotContains(t, text.String(), "canceled")
	assert.False(t, log.Enabled(context.Background(), slog.LevelInfo))
}
