package sqliteoutbox_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// The numbers are the output of stat -f -c %t on these mounts.
func TestSharedFoldersAreWarnedOf(t *testing.T) {
	t.Parallel()
	for number, name := range map[uint32]string{0x65735546: "FUSE or virtiofs", 0x01021997: "9p", 0x6969: "NFS", 0xfe534d42: "SMB"} {
		assert.Contains(t, sqliteoutbox.Place(number), name)
		assert.Contains(t, sqliteoutbox.Place(number), "locks are not safe")
	}
	assert.Empty(t, sqliteoutbox.Place(0xef53), "ext4")
}

// Linux mounts a tmpfs there.
func TestTheLogIsWarnedOfAFileThatARestartErases(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/dev/shm", "sparkloop-") //nolint:usetesting // that is the place to test
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	var log logged
	q, err := sqliteoutbox.Open(t.Context(), filepath.Join(dir, "queue.db"), sparklooptest.NewServer(t).Client(),
		outbox.Options{Logger: log.logger()})
	require.NoError(t, err)
	assert.Contains(t, log.String(), `level=WARN msg="sparkloop outbox: the file is on tmpfs, which is memory: put it on a volume" path=`+dir)
	require.NoError(t, q.Close(t.Context()))
}
