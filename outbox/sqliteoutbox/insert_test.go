package sqliteoutbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// slowDisk opens connections whose commits take a time. In a synctest bubble it is
// the bubble's time.
type slowDisk struct {
	driver.Connector
	fsync   time.Duration
	commits *atomic.Int32
}

func (d slowDisk) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := d.Connector.Connect(ctx)
	if err == nil {
		conn.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
			d.commits.Add(1)
			time.Sleep(d.fsync)
			return 0
		})
	}
	return conn, err
}

// onSlowDisk returns a queue in an application's database on a slow disk.
func onSlowDisk(t *testing.T, path string, o outbox.Options) (*Outbox, *sql.DB, *atomic.Int32) {
	t.Helper()
	connector, err := sqlite.NewConnector("file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	require.NoError(t, err)
	commits := new(atomic.Int32)
	db := sql.OpenDB(slowDisk{connector, 15 * time.Millisecond, commits})
	q, err := OpenDB(t.Context(), db, sparklooptest.NewServer(t).Client(), o)
	require.NoError(t, err)
	commits.Store(0)
	return q, db, commits
}

func TestConcurrentCallsShareAnFsync(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		q, db, commits := onSlowDisk(t, path, outbox.Options{Workers: -1})
		began := time.Now()
		var all sync.WaitGroup
		for n := range 10_000 {
			all.Go(func() { assert.NoError(t, q.Enqueue(t.Context(), tracking("burst", n))) })
		}
		all.Wait()
		t.Log(commits.Load(), "commits,", time.Since(began))
		assert.Less(t, commits.Load(), int32(30))
		assert.Less(t, time.Since(began), time.Second)
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 10_000, stats.Pending)
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, db.Close())
	})
}

// After Enqueue returns nil, the conversion is committed.
func TestAnAcknowledgementWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		q, db, commits := onSlowDisk(t, path, outbox.Options{Workers: -1})
		began := time.Now()
		done := make([]time.Duration, 3)
		var all sync.WaitGroup
		for n := range done {
			all.Go(func() {
				assert.NoError(t, q.Enqueue(t.Context(), tracking("slow", n)))
				done[n] = time.Since(began)
			})
			synctest.Wait()
		}
		all.Wait()
		assert.Equal(t, []time.Duration{15 * time.Millisecond, 30 * time.Millisecond, 30 * time.Millisecond}, done)
		assert.Equal(t, int32(2), commits.Load())
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, db.Close())
	})
}

// A caller who gives up before the transaction begins stores nothing, and does not
// affect the other callers.
func TestACallerWhoLeavesIsNotInTheBatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		q, db, _ := onSlowDisk(t, path, outbox.Options{Workers: -1})
		var all sync.WaitGroup
		enqueue := func(ctx context.Context, n int) (err *error) {
			err = new(error)
			all.Go(func() { *err = q.Enqueue(ctx, tracking("leaver", n)) })
			synctest.Wait()
			return err
		}
		short, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		first, leaver, stayer, again := enqueue(t.Context(), 1), enqueue(short, 2), enqueue(t.Context(), 3), enqueue(t.Context(), 3)
		all.Wait()
		require.NoError(t, *first)
		require.NoError(t, *stayer)
		require.NoError(t, *again)
		require.ErrorIs(t, *leaver, context.DeadlineExceeded)
		_, known, err := q.Lookup(t.Context(), tracking("leaver", 2))
		require.NoError(t, err)
		assert.False(t, known)
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, stats.Pending)
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, db.Close())
	})
}

// If a batch fails, all of its callers get the error, and nothing is stored.
func TestABatchThatFailsIsRefusedToAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		q, db, _ := onSlowDisk(t, path, outbox.Options{Workers: -1})
		_, err := db.ExecContext(t.Context(), `CREATE TRIGGER refuse BEFORE INSERT ON sparkloop_conversions WHEN new.submission LIKE '%bad%' BEGIN
			SELECT RAISE(ABORT, 'refused'); END`)
		require.NoError(t, err)
		var all sync.WaitGroup
		errs := make([]error, 3)
		for n, name := range []string{"first", "good", "bad"} {
			all.Go(func() { errs[n] = q.Enqueue(t.Context(), tracking(name, 1)) })
			synctest.Wait()
		}
		all.Wait()
		require.NoError(t, errs[0])
		require.ErrorContains(t, errs[1], "refused")
		require.ErrorContains(t, errs[2], "refused")
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, stats.Pending)
		require.NoError(t, q.Enqueue(t.Context(), tracking("good", 1)))
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, db.Close())
	})
}

func TestASweepIsStoredInFewTransactions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		q, db, commits := onSlowDisk(t, path, outbox.Options{Workers: -1})
		ts := trackings("swept", 1200)
		require.NoError(t, q.Enqueue(t.Context(), ts[7]))
		commits.Store(0)
		n, err := engine{q}.Sweep(t.Context(), append(ts, ts[3]), 2)
		require.NoError(t, err)
		assert.Equal(t, 1199, n)
		assert.Equal(t, int32(3), commits.Load())
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1199, stats.Swept)
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, db.Close())
	})
}
