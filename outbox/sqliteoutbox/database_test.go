package sqliteoutbox

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// opened returns a queue on a new file.
func opened(t *testing.T, o outbox.Options) (*Outbox, *sparklooptest.Server) {
	t.Helper()
	api := sparklooptest.NewServer(t)
	q, err := Open(t.Context(), filepath.Join(t.TempDir(), "queue.db"), api.Client(), o)
	require.NoError(t, err)
	return q, api
}

// occupy uses the queue's database until the returned function is called.
func occupy(q *Outbox, write bool) (leave func()) {
	left := make(chan struct{})
	go q.db.use(context.Background(), write, func(context.Context, *sql.DB) error { //nolint:errcheck // there is none
		<-left
		return nil
	})
	synctest.Wait()
	return func() { close(left) }
}

func TestManyWritersAllGetTheirTurn(t *testing.T) {
	t.Parallel()
	q, _ := opened(t, outbox.Options{Workers: -1})
	burst := func(prefix string, n int) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { assert.NoError(t, q.Enqueue(t.Context(), tracking(prefix, i))) })
		}
		wg.Wait()
	}
	burst("open", 200)
	require.NoError(t, q.Close(t.Context()))
	burst("closed", 20)
	stats, err := q.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 220, stats.Pending)
}

func TestAWaitForTheDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := opened(t, outbox.Options{Workers: -1})
		leave := occupy(q, true)
		began := time.Now()
		err := q.Enqueue(t.Context(), tracking("ours", 1))
		require.ErrorContains(t, err, "the database was busy for 10s")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, waitMax, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		err = q.Enqueue(ctx, tracking("theirs", 1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "busy")
		assert.Equal(t, time.Second, time.Since(began))

		_, known, err := q.Lookup(t.Context(), tracking("ours", 1)) // a read does not wait for a write
		require.NoError(t, err)
		assert.False(t, known)
		leave()
		require.NoError(t, q.Close(t.Context()))
	})
}

// The last call that uses the file closes it.
func TestCloseDoesNotWaitForOtherCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := opened(t, outbox.Options{Workers: -1})
		leave := occupy(q, true)
		refused := make(chan error)
		go func() { refused <- q.Enqueue(context.Background(), tracking("meanwhile", 1)) }()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, q.Close(t.Context()))
		require.NoError(t, q.Close(t.Context()), "twice")
		assert.Zero(t, time.Since(began))
		leave()
		require.NoError(t, <-refused)
		require.Error(t, q.db.db.PingContext(t.Context()), "the pool is closed")
		_, known, err := q.Lookup(t.Context(), tracking("meanwhile", 1))
		require.NoError(t, err)
		assert.True(t, known)
	})
}

// Conversions that Enqueue accepts while the queue closes are on disk too.
func TestCloseDuringABurstLosesNothing(t *testing.T) {
	t.Parallel()
	q, api := opened(t, outbox.Options{Workers: -1})
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			if n == 100 {
				assert.NoError(t, q.Close(t.Context()))
			}
			assert.NoError(t, q.Enqueue(t.Context(), tracking("closing", n)))
		})
	}
	all.Wait()
	next, err := Open(t.Context(), q.db.file.path, api.Client(), outbox.Options{Workers: -1})
	require.NoError(t, err)
	stats, err := next.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 200, stats.Pending)
	require.NoError(t, next.Close(t.Context()))
}

// A callback runs longer than Close waits for it.
func TestAFileIsClosedWhenTheWorkEndsAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := make(chan struct{})
		q, api := opened(t, outbox.Options{OnConfirmed: func(outbox.Entry) {
			close(told)
			time.Sleep(3 * time.Second)
		}})
		_, clicked := api.Click("", "https://shop.example/")
		require.NoError(t, q.Enqueue(t.Context(), clicked))
		<-told
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		require.NoError(t, q.Close(ended), "no request was in progress")
		assert.Equal(t, time.Second, time.Since(began))
		<-q.stopped
		assert.Equal(t, 3*time.Second, time.Since(began))
		e, _, err := q.Lookup(t.Context(), clicked)
		require.NoError(t, err)
		assert.Equal(t, outbox.Confirmed, e.State)
	})
}

func TestARedrivenConversionHasNoReason(t *testing.T) {
	t.Parallel()
	q, _ := opened(t, outbox.Options{Workers: -1})
	for i, all := range []bool{false, true} {
		tr := tracking("again", i)
		require.NoError(t, q.Enqueue(t.Context(), tr))
		e, _, err := q.Lookup(t.Context(), tr)
		require.NoError(t, err)
		dead := confirmed(e)
		dead.Entry.State, dead.Entry.Reason = outbox.Dead, "404 Submission not found"
		_, err = q.record(t.Context(), claim{Entry: e}, dead)
		require.NoError(t, err)
		var n int
		if all {
			n, err = q.RedriveAll(t.Context(), outbox.Dead)
		} else {
			n, err = q.Redrive(t.Context(), e.ID)
		}
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		e, _, err = q.Lookup(t.Context(), tr)
		require.NoError(t, err)
		assert.Equal(t, outbox.Pending, e.State)
		assert.Empty(t, e.Reason, "all: %v", all)
		assert.Zero(t, e.Attempts)
	}
	require.NoError(t, q.Close(t.Context()))
}
