package sqliteoutbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestWhatIsEnqueuedIsConfirmed(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	q, err := sqliteoutbox.Open(t.Context(), filepath.Join(t.TempDir(), "a b?#%&.db"), api.Client(), outbox.Options{})
	require.NoError(t, err)
	closed(t, q)
	tracking := click(api)
	require.NoError(t, q.Enqueue(t.Context(), tracking))
	require.NoError(t, api.WaitConfirmed(t.Context(), tracking))
}

// In a synctest bubble time passes at once. The file is real.
func TestAnOutageLosesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		q, err := sqliteoutbox.Open(t.Context(), path, api.Client(sparkloop.WithRateLimit(120, time.Minute)),
			outbox.Options{Logger: new(logged).logger()})
		require.NoError(t, err)
		closed(t, q)
		api.Fail(sparklooptest.Status(503, "down"), -1)
		var all []sparkloop.Tracking
		for range 300 {
			all = append(all, click(api))
			require.NoError(t, q.Enqueue(t.Context(), all[len(all)-1]))
		}
		time.Sleep(30 * time.Minute)
		requests := len(api.Requests())
		assert.Less(t, requests, 30)
		api.Fail(sparklooptest.Fault{}, 0)
		back := time.Now()
		for _, tracking := range all {
			require.NoError(t, api.WaitConfirmed(t.Context(), tracking))
		}
		t.Log(requests, "requests in half an hour; all confirmed", time.Since(back), "after it")
		stats, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Zero(t, stats.Dead+stats.Expired)
	})
}

func TestProcessesOnOneFileShareTheWork(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
	path := filepath.Join(t.TempDir(), "queue.db")
	first, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
	require.NoError(t, err)
	closed(t, first)
	var all []sparkloop.Tracking
	for range 200 {
		all = append(all, click(api))
		require.NoError(t, first.Enqueue(t.Context(), all[len(all)-1]))
	}
	for range 3 {
		q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), outbox.Options{})
		require.NoError(t, err)
		closed(t, q)
	}
	for _, tracking := range all {
		require.NoError(t, api.WaitConfirmed(t.Context(), tracking))
	}
	assert.Len(t, api.Requests(), len(all), "each by one of them")
}

// A closed queue has no open file. Each later call opens it.
func TestAClosedQueueLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), outbox.Options{})
	require.NoError(t, err)
	assert.NotZero(t, descriptors(t, path))
	for range 2 {
		require.NoError(t, q.Close(t.Context()))
		tracking := click(api)
		require.NoError(t, q.Enqueue(t.Context(), tracking))
		e, known, err := q.Lookup(t.Context(), tracking)
		require.NoError(t, err)
		assert.True(t, known)
		assert.Equal(t, outbox.Pending, e.State)
		assert.Zero(t, descriptors(t, path))
	}
	require.NoError(t, os.RemoveAll(filepath.Dir(path)))
	require.Error(t, q.Enqueue(t.Context(), click(api)))
}

// descriptors counts this process's open descriptors of a file and of its -wal and
// -shm files. Where the system cannot list them, it returns the number of these
// files.
func descriptors(t *testing.T, path string) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		beside, err := filepath.Glob(path + "-*")
		require.NoError(t, err)
		return len(beside)
	}
	n := 0
	for _, fd := range fds {
		if file, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(file, path) {
			n++
		}
	}
	return n
}
