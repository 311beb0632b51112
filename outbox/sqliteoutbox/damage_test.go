package sqliteoutbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestATableTakesNoValueOfAWrongType(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	db := shop(t, settings)
	q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), enqueueOnly)
	require.NoError(t, err)
	require.NoError(t, closed(t, q).Enqueue(t.Context(), click(api)))
	for _, change := range []string{"captured = 'yesterday'", "due = 1.5", "offer = x'00'", "state = 4", "attempts = NULL"} {
		_, err := db.ExecContext(t.Context(), "UPDATE sparkloop_conversions SET "+change)
		assert.Error(t, err, change)
	}
}

// Damage can produce rows that no statement can.
func TestABadRowStopsNoOther(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	db := shop(t, settings)
	db.SetMaxOpenConns(1)
	q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), enqueueOnly)
	require.NoError(t, err)
	bad := []sparkloop.Tracking{click(api), click(api), click(api), click(api)}
	for _, tr := range bad {
		require.NoError(t, q.Enqueue(t.Context(), tr))
	}
	require.NoError(t, q.Close(t.Context()))
	for _, change := range []string{
		"PRAGMA writable_schema = ON",
		"UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), 'CHECK (state BETWEEN 0 AND 3)', '') WHERE name = 'sparkloop_conversions'",
		"PRAGMA writable_schema = RESET",
		"UPDATE sparkloop_conversions SET captured = 'yesterday' WHERE id = 1",
		"UPDATE sparkloop_conversions SET attempts = 'many' WHERE id = 2",
		"UPDATE sparkloop_conversions SET offer = x'00ff', enqueued = 'x' WHERE id = 3",
		"UPDATE sparkloop_conversions SET state = 9 WHERE id = 4",
		"INSERT INTO sparkloop_conversions (offer, submission, captured, enqueued, due, state, finished) VALUES ('offer_1', 'dead', 'x', 1, 1, 2, 1)",
	} {
		_, err := db.ExecContext(t.Context(), change)
		require.NoError(t, err, change)
	}
	var log logged
	q, err = sqliteoutbox.OpenDB(t.Context(), db, api.Client(), outbox.Options{Logger: log.logger()})
	require.NoError(t, err)
	closed(t, q)
	good := click(api)
	require.NoError(t, q.Enqueue(t.Context(), good))
	require.NoError(t, api.WaitConfirmed(t.Context(), good))
	require.Eventually(t, func() bool { // the answer is stored a moment later
		e, _, err := q.Lookup(t.Context(), good)
		return err == nil && e.State == outbox.Confirmed
	}, time.Minute, 5*time.Millisecond)

	var left []int64
	for e, err := range q.List(t.Context(), outbox.Pending) {
		require.NoError(t, err)
		if e.Tracking != good {
			left = append(left, e.ID)
			assert.Contains(t, e.Reason, "the row cannot be read: ")
		}
	}
	assert.Equal(t, []int64{3, 2, 1}, left)
	e, known, err := q.Lookup(t.Context(), sparkloop.Tracking{Offer: "offer_1", Submission: "dead"})
	require.NoError(t, err)
	assert.True(t, known)
	assert.Equal(t, outbox.Dead, e.State)
	e, known, err = q.Lookup(t.Context(), bad[0])
	require.NoError(t, err)
	assert.True(t, known)
	assert.Contains(t, e.Reason, "captured")
	stats, err := q.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, stats.Pending)
	assert.Equal(t, 3, count(log.String(), "a conversion is skipped"), log.String())
}

// With any damaged page, the queue logs what stops it, and sends no conversion
// again and again.
func TestADamagedPageIsSaid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	clicks := sparklooptest.NewServer(t)
	q, err := sqliteoutbox.Open(t.Context(), path, clicks.Client(), enqueueOnly)
	require.NoError(t, err)
	const all = 100
	for range all {
		require.NoError(t, q.Enqueue(t.Context(), click(clicks)))
	}
	require.NoError(t, q.Close(t.Context()))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	const size = 4096
	for page := 1; page < len(whole)/size; page++ {
		t.Run(strconv.Itoa(page), func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
			api.Fail(sparklooptest.Status(200, `{"message":"Conversion tracked successfully"}`), -1)
			path := filepath.Join(t.TempDir(), "queue.db")
			damaged := slices.Clone(whole)
			clear(damaged[page*size : (page+1)*size])
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			var log logged
			q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), outbox.Options{Logger: log.logger()})
			if err != nil {
				assert.ErrorContains(t, err, "malformed")
				return
			}
			require.Eventually(t, func() bool {
				stats, err := q.Stats(t.Context())
				return count(log.String(), "the database is damaged; stop the program") == 1 || err == nil && stats.Confirmed == all
			}, 20*time.Second, 5*time.Millisecond)
			require.NoError(t, q.Close(t.Context()))
			assert.Equal(t, 1, max(1, count(log.String(), "the database is damaged")))
			sent := make(map[string]int)
			for _, r := range api.Requests() {
				sent[r.Path]++
				assert.LessOrEqual(t, sent[r.Path], 1, r.Path)
			}
		})
	}
}
