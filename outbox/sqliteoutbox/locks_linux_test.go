package sqliteoutbox_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// Without its lock on the file, a queue loses its write-ahead log when the next
// process closes the file. Closing any descriptor of the file would drop the lock.
func TestAnotherQueueOnTheFileLeavesTheLocks(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "queue.db")
	open := func() *sqliteoutbox.Outbox {
		q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
		require.NoError(t, err)
		return q
	}
	first := closed(t, open())
	require.NoError(t, first.Enqueue(t.Context(), click(api)))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close() // not before the end: this close drops the locks
	assert.True(t, locked(t, file))
	second := open()
	assert.True(t, locked(t, file), "after Open")
	require.NoError(t, second.Close(t.Context()))
	assert.True(t, locked(t, file), "after Close")
	require.NoError(t, second.Enqueue(t.Context(), click(api)))
	assert.True(t, locked(t, file), "after Enqueue, which opened the file for itself")
}

// locked reports whether this process has SQLite's shared lock on a file. It tests
// for an open file description lock, which conflicts with the process's locks.
func locked(t *testing.T, file *os.File) bool {
	t.Helper()
	const ofdGetLock = 36                                                       // F_OFD_GETLK
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 0x40000002, Len: 510} // SHARED_FIRST and SHARED_SIZE
	require.NoError(t, syscall.FcntlFlock(file.Fd(), ofdGetLock, &lock))
	return lock.Type != syscall.F_UNLCK
}
