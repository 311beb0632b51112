package riveroutbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
)

const day = 24 * time.Hour

func TestListGoesPageByPage(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	const n = 2*page + 1
	mustSweep(t, box, n, api)
	var last int64
	seen := 0
	for e, err := range box.List(t.Context(), outbox.Pending) {
		require.NoError(t, err)
		assert.True(t, last == 0 || e.ID < last, "newest first")
		last = e.ID
		if seen++; seen == 1 {
			assert.EqualValues(t, 0, pool.Stat().AcquiredConns(), "no connection is held while the caller reads an entry")
		}
	}
	assert.Equal(t, n, seen)
	for e, err := range box.List(t.Context(), outbox.Pending) {
		require.NoError(t, err)
		require.NotZero(t, e.ID)
		break
	}
	for _, err := range box.List(t.Context(), "gone") {
		require.EqualError(t, err, `sparkloop outbox: list: "gone" is not a state`)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range box.List(ended, outbox.Pending) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

// TestWhatPeopleDidInRiver has jobs that people ended in River's UI.
func TestWhatPeopleDidInRiver(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	mustSweep(t, box, 3, api)
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'cancelled', finalized_at = now(), attempt = 9, errors = '{"{}"}',
		metadata = metadata || '{"cancel_attempted_at": "2026-01-01T00:00:00Z"}' WHERE id = 1`)
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'discarded', finalized_at = now() WHERE id = 2`)
	s, err := box.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, s.Dead)
	assert.Zero(t, s.Expired)
	assert.WithinDuration(t, time.Now(), s.LastDied, time.Minute)

	_, err = box.RedriveAll(t.Context(), outbox.Pending)
	require.ErrorContains(t, err, `sparkloop outbox: redrive: pending conversions cannot be redriven, only dead and expired ones`)
	n, err := box.RedriveAll(t.Context(), outbox.Expired)
	require.NoError(t, err)
	assert.Zero(t, n)
	n, err = box.Redrive(t.Context(), 1, 2, 3, 4)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	n, err = box.Redrive(t.Context(), 1, 2, 3, 4)
	require.NoError(t, err)
	assert.Zero(t, n, "safe to repeat")
	n, err = box.Redrive(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Equal(t, `{"sparkloop_swept": true} 0`,
		one[string](t, pool, `SELECT (metadata - 'sparkloop_redriven')::text || ' ' || attempt FROM {schema}.river_job WHERE id = 1 AND errors IS NULL AND finalized_at IS NULL`))
}

func TestManyAreRedrivenInBatches(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	const all = 2*redriveMax + 500
	exec(t, pool, `INSERT INTO {schema}.river_job (args, kind, queue, max_attempts, state, finalized_at, unique_key, unique_states)
		SELECT jsonb_build_object('offer', 'offer_1', 'submission', 'submission_' || n), 'sparkloop_conversion', 'sparkloop', 32767,
			'cancelled', now(), convert_to('offer_1/submission_' || n, 'UTF8'), B'11111111'
		FROM generate_series(1, $1::bigint) AS n`, all)
	exec(t, pool, `CREATE TABLE {schema}.batches (n bigint)`)
	exec(t, pool, `CREATE FUNCTION {schema}.batch() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO {schema}.batches SELECT count(*) FROM changed; RETURN NULL; END $$`)
	exec(t, pool, `CREATE TRIGGER batch AFTER UPDATE ON {schema}.river_job REFERENCING NEW TABLE AS changed
		FOR EACH STATEMENT EXECUTE FUNCTION {schema}.batch()`)
	n, err := box.RedriveAll(t.Context(), outbox.Dead)
	require.NoError(t, err)
	assert.Equal(t, all, n)
	assert.Equal(t, int64(redriveMax), one[int64](t, pool, `SELECT max(n) FROM {schema}.batches`))
	s, err := box.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{all, 0}, []int{s.Pending, s.Dead})
}

func TestTidyByOptionsNow(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	now := time.Now().Add(100 * day) // PostgreSQL's clock is not moved
	box := openBox(t, pool, api.Client(), quick(enqueueOnly, func(o *Options) { o.Now = func() time.Time { return now } }))
	ctx := t.Context()
	mustSweep(t, box, 4, api)
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'completed', finalized_at = $1::timestamptz WHERE id = 1`, now.Add(-61*day))
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'completed', finalized_at = $1::timestamptz WHERE id = 2`, now.Add(-59*day))
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'cancelled', finalized_at = $1::timestamptz WHERE id = 3`, now.Add(-999*day))
	exec(t, pool, `UPDATE {schema}.river_job SET state = 'scheduled', scheduled_at = $1::timestamptz WHERE id = 4`, now.Add(2*day))
	require.NoError(t, chores{box}.Tidy(ctx, now.Add(-60*day), now.Add(3*day)))
	s, err := box.Stats(ctx)
	require.NoError(t, err)
	assert.WithinDuration(t, now, s.Time, time.Millisecond)
	assert.Equal(t, 1, s.Confirmed, "the older one is deleted")
	assert.Equal(t, 1, s.Dead, "dead ones are stored for ever")
	assert.Zero(t, s.ConfirmedByHour)
	assert.Equal(t, "scheduled", one[string](t, pool, `SELECT state::text FROM {schema}.river_job WHERE id = 4`))
	require.NoError(t, chores{box}.Tidy(ctx, now.Add(-60*day), now.Add(day)))
	assert.Equal(t, "scheduled", one[string](t, pool, `SELECT state::text FROM {schema}.river_job WHERE id = 4`))
	assert.WithinDuration(t, now, one[time.Time](t, pool, `SELECT scheduled_at FROM {schema}.river_job WHERE id = 4`), time.Millisecond)
}

// TestTidyInBatches has more rows than one statement changes, and a horizon before
// the database's time.
func TestTidyInBatches(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	box := openBox(t, pool, newAPI(t).Client(), quick(enqueueOnly))
	const many = `
		INSERT INTO {schema}.river_job (kind, queue, max_attempts, args, state, scheduled_at, finalized_at)
		SELECT 'sparkloop_conversion', 'sparkloop', 9, '{}', $1::text::{schema}.river_job_state, now() + interval '9 days', $2::timestamptz
		FROM generate_series(1, 2100)`
	exec(t, pool, many, "scheduled", nil)
	exec(t, pool, many, "completed", time.Now().Add(-99*day))
	require.NoError(t, chores{box}.Tidy(t.Context(), time.Now().Add(-60*day), time.Now().Add(-day)))
	assert.Equal(t, 2100, one[int](t, pool, `SELECT count(*) FROM {schema}.river_job WHERE state = 'scheduled' AND scheduled_at <= now()`))
	assert.Zero(t, one[int](t, pool, `SELECT count(*) FROM {schema}.river_job WHERE state <> 'scheduled'`))
}

func TestConfirmedByHour(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	now := time.Now().Truncate(time.Hour)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly, func(o *Options) { o.Now = func() time.Time { return now } }))
	for i, ago := range []time.Duration{0, time.Hour - time.Microsecond, time.Hour, day - time.Microsecond, day, -time.Second} {
		mustSweep(t, box, 1, api)
		exec(t, pool, `UPDATE {schema}.river_job SET state = 'completed', finalized_at = $2::timestamptz WHERE id = $1`, i+1, now.Add(-ago))
	}
	s, err := box.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, [24]int{0: 1, 22: 1, 23: 2}, s.ConfirmedByHour)
	assert.Equal(t, 6, s.Confirmed)
	assert.Zero(t, s.OldestPending)
}

// TestRedriveAllInBatches has more rows than one transaction redrives, many of them
// with the same time.
func TestRedriveAllInBatches(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	box := openBox(t, pool, newAPI(t).Client(), quick(enqueueOnly))
	const n = 2*redriveMax + 7
	exec(t, pool, `
		INSERT INTO {schema}.river_job (kind, queue, max_attempts, args, created_at, state, finalized_at, metadata)
		SELECT 'sparkloop_conversion', 'sparkloop', 9, '{}', now() - interval '30 days', (CASE WHEN i % 3 = 0 THEN 'discarded' ELSE 'cancelled' END)::{schema}.river_job_state,
			now() - (i / 6000) * interval '1 day', jsonb_build_object('output', jsonb_build_object('state', CASE WHEN i % 10 = 0 THEN 'expired' ELSE 'dead' END))
		FROM generate_series(1, $1::int) AS i`, n)
	got, err := box.RedriveAll(t.Context(), outbox.Expired)
	require.NoError(t, err)
	assert.Equal(t, n/10, got)
	got, err = box.RedriveAll(t.Context(), outbox.Dead)
	require.NoError(t, err)
	assert.Equal(t, n-n/10, got)
	s, err := box.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, n, s.Pending)
	assert.Zero(t, s.Dead+s.Expired)
	assert.WithinDuration(t, s.Time, s.OldestPending, time.Minute, "they have waited since they were redriven")
}

func TestStatsBySweptIndex(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	box := openBox(t, pool, newAPI(t).Client(), quick(enqueueOnly))
	require.NotNil(t, box)
	exec(t, pool, `INSERT INTO {schema}.river_job (kind, queue, max_attempts, args) SELECT 'k', 'other', 9, '{}' FROM generate_series(1, 3000)`)
	exec(t, pool, `VACUUM ANALYZE {schema}.river_job`)
	plan := one[string](t, pool, `EXPLAIN (FORMAT JSON) SELECT count(*) FROM {schema}.river_job WHERE metadata ? 'sparkloop_swept'`)
	assert.Contains(t, plan, "sparkloop_swept")
	assert.NotContains(t, plan, "Seq Scan")
}
