package sqliteoutbox_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// Without its lock on the file a queue loses its write-ahead log to the next
// process that closes the file. Closing any descriptor of the file would drop it.
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
	if locks(t, path) == 0 {
		t.Skip("this system does not tell of locks")
	}
	second := open()
	assert.NotZero(t, locks(t, path), "after Open")
	require.NoError(t, second.Close(t.Context()))
	assert.NotZero(t, locks(t, path), "after Close")
	require.NoError(t, second.Enqueue(t.Context(), click(api)))
	assert.NotZero(t, locks(t, path), "after Enqueue, which opened the file for itself")
}

// locks counts this process's own on a file. It reads the list again when there
// is none, as a read may miss some while others come and go.
func locks(t *testing.T, path string) (n int) {
	t.Helper()
	var file syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &file))
	for try := 0; n == 0 && try < 10; try++ {
		all, err := os.ReadFile("/proc/locks")
		require.NoError(t, err)
		for line := range strings.Lines(string(all)) { // 2: POSIX  ADVISORY  READ 12554 fe:00:10018840 1073741826 1073742335
			f := strings.Fields(line)
			if len(f) > 5 && f[4] == strconv.Itoa(os.Getpid()) && strings.HasSuffix(f[5], ":"+strconv.FormatUint(file.Ino, 10)) {
				n++
			}
		}
	}
	return n
}
