package riveroutbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func TestEnqueueTx(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	exec(t, pool, `CREATE TABLE orders (submission text PRIMARY KEY)`)
	ctx := t.Context()
	order := func(tx pgx.Tx, tracking sparkloop.Tracking) {
		t.Helper()
		_, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1)`, tracking.Submission)
		require.NoError(t, err)
	}
	stored := func(tracking sparkloop.Tracking) bool {
		t.Helper()
		_, found, err := box.Lookup(ctx, tracking)
		require.NoError(t, err)
		return found
	}

	committed, rolledBack, inSavepoint, undone := click(api), click(api), click(api), click(api)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	order(tx, committed)
	require.NoError(t, box.EnqueueTx(ctx, tx, committed))
	require.NoError(t, box.EnqueueTx(ctx, tx, committed), "twice in one transaction")
	require.NoError(t, box.EnqueueTx(ctx, tx, sparkloop.Tracking{}), "nothing to do")
	require.ErrorIs(t, box.EnqueueTx(ctx, tx, sparkloop.Tracking{Offer: "a b", Submission: "c"}), sparkloop.ErrInvalidTracking,
		"which sends no statement")
	for _, nested := range []sparkloop.Tracking{inSavepoint, undone} {
		savepoint, err := tx.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, box.EnqueueTx(ctx, savepoint, nested))
		if nested == undone {
			require.NoError(t, savepoint.Rollback(ctx))
		} else {
			require.NoError(t, savepoint.Commit(ctx))
		}
	}
	assert.False(t, stored(committed), "before the commit")
	require.NoError(t, tx.Commit(ctx))
	assert.True(t, stored(committed))
	assert.True(t, stored(inSavepoint))
	assert.False(t, stored(undone))

	tx, err = pool.Begin(ctx)
	require.NoError(t, err)
	order(tx, rolledBack)
	require.NoError(t, box.EnqueueTx(ctx, tx, rolledBack))
	require.NoError(t, tx.Rollback(ctx))
	assert.False(t, stored(rolledBack))
	assert.Equal(t, 1, one[int](t, pool, `SELECT count(*) FROM orders`))
}

// TestSavepointSavesTheOrder is the pattern in EnqueueTx's comment. The database
// rejects the conversion.
func TestSavepointSavesTheOrder(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	exec(t, pool, `CREATE TABLE orders (submission text PRIMARY KEY)`)
	exec(t, pool, `ALTER TABLE {schema}.river_job ADD CHECK (false) NOT VALID`)
	ctx := t.Context()
	tracking := click(api)

	save := func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1)`, tracking.Submission); err != nil {
			return err
		}
		sp, err := tx.Begin(ctx) // a savepoint
		if err != nil {
			return err
		}
		if err := box.EnqueueTx(ctx, sp, tracking); err != nil {
			assert.ErrorContains(t, err, "sparkloop outbox: enqueue "+tracking.Key()+": ")
			return sp.Rollback(ctx)
		}
		return sp.Commit(ctx)
	}
	require.NoError(t, pgx.BeginFunc(ctx, pool, save))
	assert.Equal(t, 1, one[int](t, pool, `SELECT count(*) FROM orders`))
}

func TestKnownInEachState(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	ctx := t.Context()
	tracking := click(api)
	require.NoError(t, box.Enqueue(ctx, tracking))
	for _, state := range []string{"available", "cancelled", "completed", "discarded", "pending", "retryable", "running", "scheduled"} {
		exec(t, pool, `UPDATE {schema}.river_job SET state = $1::text::{schema}.river_job_state,
			finalized_at = CASE WHEN $1::text IN ('cancelled', 'completed', 'discarded') THEN now() END`, state)
		before := one[string](t, pool, `SELECT xmin::text || river_job::text FROM {schema}.river_job`)
		later := tracking
		later.CapturedAt = tracking.CapturedAt.Add(time.Hour)
		require.NoError(t, box.Enqueue(ctx, later))
		n, err := chores{box}.Sweep(ctx, []sparkloop.Tracking{later}, 2)
		require.NoError(t, err)
		assert.Zero(t, n)
		missing, err := chores{box}.Missing(ctx, []sparkloop.Tracking{later})
		require.NoError(t, err)
		assert.Empty(t, missing)
		assert.Equal(t, before, one[string](t, pool, `SELECT xmin::text || river_job::text FROM {schema}.river_job`), state)
	}
}

// TestEnqueuedAgainInALongTransaction keeps a transaction open that enqueued a
// known conversion. It must not delay delivery.
func TestEnqueuedAgainInALongTransaction(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	held := click(api)
	store := openBox(t, pool, api.Client(), quick(enqueueOnly))
	require.NoError(t, store.Enqueue(t.Context(), held))
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // the end of the transaction
	require.NoError(t, store.EnqueueTx(t.Context(), tx, held))

	box := openBox(t, pool, api.Client(), quick())
	next := click(api)
	require.NoError(t, box.Enqueue(t.Context(), next))
	reaches(t, box, held, outbox.Confirmed)
	reaches(t, box, next, outbox.Confirmed)
}

func TestSweepMarksWhatIsNew(t *testing.T) {
	t.Parallel()
	api := newAPI(t)
	box := openBox(t, newPool(t), api.Client(), quick(enqueueOnly))
	ctx := t.Context()
	known := click(api)
	require.NoError(t, box.Enqueue(ctx, known))
	swept := mustSweep(t, box, 3, api)
	n, err := chores{box}.Sweep(ctx, append(swept, known, click(api)), 2)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	s, err := box.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, 4, s.Swept)
	assert.Equal(t, 5, s.Pending)
}

// TestLookupUsesAnIndex checks the plan, with enough rows that the planner avoids
// reading all of them.
func TestLookupUsesAnIndex(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	require.NoError(t, box.Enqueue(t.Context(), sparkloop.Tracking{Offer: "offer_1", Submission: "wanted"}))
	exec(t, pool, `
		INSERT INTO {schema}.river_job (args, kind, queue, unique_key, unique_states)
		SELECT jsonb_build_object('offer', 'offer_1', 'submission', 'no_' || i), 'sparkloop_conversion', 'sparkloop',
			convert_to('offer_1/no_' || i, 'UTF8'), B'11111111'
		FROM generate_series(1, 20000) AS i`)
	exec(t, pool, `ANALYZE {schema}.river_job`)
	rows, err := pool.Query(t.Context(), box.statement(`EXPLAIN SELECT id FROM {schema}.river_job
		WHERE queue = 'sparkloop' AND unique_key = convert_to($1::text, 'UTF8') AND`+known), "offer_1/wanted")
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	assert.Contains(t, fmt.Sprint(plan), "Index Scan using river_job_unique_idx")
	_, found, err := box.Lookup(t.Context(), sparkloop.Tracking{Offer: "offer_1", Submission: "wanted"})
	require.NoError(t, err)
	assert.True(t, found)
	_, found, err = box.Lookup(t.Context(), sparkloop.Tracking{Offer: "offer_1", Submission: "WANTED"})
	require.NoError(t, err)
	assert.False(t, found, "case matters")
	_, found, err = box.Lookup(t.Context(), sparkloop.Tracking{Offer: "\x00"})
	require.NoError(t, err)
	assert.False(t, found)
}
