package sqliteoutbox

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// fill stores a number of conversions in a state.
func fill(t *testing.T, q *Outbox, prefix string, rows, state int) {
	t.Helper()
	_, err := q.db.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO sparkloop_conversions (offer, submission, captured, enqueued, due) SELECT ?2, 'submission_' || i, 0, i, i FROM n`, rows, prefix)
	require.NoError(t, err)
	_, err = q.db.db.ExecContext(t.Context(), "UPDATE sparkloop_conversions SET state = ?1, finished = id WHERE offer = ?2 AND ?1 > 0", state, prefix)
	require.NoError(t, err)
}

func TestManyAreRedrivenInBatches(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		q, db, commits := onSlowDisk(t, path, outbox.Options{Workers: -1})
		fill(t, q, "dead", 2500, 2)
		fill(t, q, "expired", 3, 3)
		commits.Store(0)
		n, err := q.RedriveAll(t.Context(), outbox.Dead)
		require.NoError(t, err)
		assert.Equal(t, 2500, n)
		assert.Equal(t, int32(3), commits.Load(), "of at most 1000 each")
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{2500, 0, 3}, []int{stats.Pending, stats.Dead, stats.Expired})
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, db.Close())
	})
}

// The write-ahead log grows during a long read, and shrinks afterwards.
func TestALongReaderLeavesASmallLog(t *testing.T) {
	t.Parallel()
	q, _ := opened(t, outbox.Options{Workers: -1})
	defer q.Close(t.Context())
	require.NoError(t, q.Enqueue(t.Context(), tracking("first", 0)))
	reader, err := q.db.db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, reader.QueryRowContext(t.Context(), "SELECT id FROM sparkloop_conversions").Scan(new(int64)))
	size := func() int64 {
		info, err := os.Stat(q.db.file.path + "-wal")
		require.NoError(t, err)
		return info.Size()
	}
	for n := range 40 {
		fill(t, q, fmt.Sprint("batch_", n), 1000, 0)
	}
	assert.Greater(t, size(), int64(8<<20))
	require.NoError(t, reader.Rollback())
	for n := range 3 {
		require.NoError(t, q.Enqueue(t.Context(), tracking("after", n)))
	}
	assert.LessOrEqual(t, size(), int64(4<<20))
}

// The queries of the status page and of delivery must not read all rows.
func TestQueriesUseTheIndexes(t *testing.T) {
	t.Parallel()
	q, _ := opened(t, outbox.Options{Workers: -1})
	defer q.Close(t.Context())
	plan := func(query string, args ...any) string {
		rows, err := q.db.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		require.NoError(t, err)
		defer rows.Close()
		var all []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			all = append(all, detail)
		}
		require.NoError(t, rows.Err())
		return strings.Join(all, "\n")
	}
	for query, want := range map[string]string{
		statsQuery: "USING COVERING INDEX sparkloop_conversions_due",
		"SELECT " + columns + " FROM sparkloop_conversions WHERE " + inState(2) + " AND id < 9 ORDER BY id DESC LIMIT 100":                             "USING INDEX sparkloop_conversions_state (state=? AND rowid<?)",
		"SELECT " + columns + " FROM sparkloop_conversions WHERE id NOT IN () AND " + laneIs + "3 AND " + q.free(time.Now()) + " ORDER BY due LIMIT 1": "USING INDEX sparkloop_conversions_due (lane=?)",
		byHourQuery: "USING COVERING INDEX sparkloop_conversions_finished",
		expiredRows: "sparkloop_conversions_finished (state=? AND finished<?)",
	} {
		got := plan(query, 1)
		assert.Contains(t, got, want, query)
		for line := range strings.Lines(got) {
			bare := strings.TrimSpace(line)
			assert.False(t, bare == "SCAN sparkloop_conversions" || strings.Contains(bare, "USE TEMP B-TREE FOR ORDER BY"), fmt.Sprint(query, "\n", got))
		}
	}
}
