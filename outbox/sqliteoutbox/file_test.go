package sqliteoutbox_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// A conversion in a deleted file is lost with the process.
func TestNothingIsAcknowledgedOnceTheFileIsGone(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(path string) error{
		"deleted":        os.Remove,
		"moved":          func(path string) error { return os.Rename(path, path+".old") },
		"folder moved":   func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
		"folder deleted": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		"log deleted":    func(path string) error { return os.Remove(path + "-wal") },
		"locks deleted":  func(path string) error { return os.Remove(path + "-shm") },
		"replaced":       replace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			var log logged
			dir := filepath.Join(t.TempDir(), "data")
			require.NoError(t, os.Mkdir(dir, 0o700))
			path := filepath.Join(dir, "queue.db")
			q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), outbox.Options{Logger: log.logger(), RetryMin: 10 * time.Millisecond})
			require.NoError(t, err)
			before := click(api)
			api.Fail(sparklooptest.Status(503, "down"), -1)
			require.NoError(t, q.Enqueue(t.Context(), before))
			require.NoError(t, away(path))
			for range 2 {
				err := q.Enqueue(t.Context(), click(api))
				require.ErrorContains(t, err, "restart the program")
				assert.Equal(t, 1, count(log.String(), "deleted, moved or replaced"), log.String())
			}
			_, err = q.RedriveAll(t.Context(), outbox.Dead)
			require.ErrorContains(t, err, "restart the program")

			// Conversions from before are still delivered.
			api.Fail(sparklooptest.Fault{}, 0)
			require.NoError(t, api.WaitConfirmed(t.Context(), before))
			require.NoError(t, q.Close(t.Context()))
			_, err = os.Stat(path)
			if name == "replaced" || name == "log deleted" || name == "locks deleted" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Error(t, q.Enqueue(t.Context(), click(api)), "after Close")
			_, err = os.Stat(path)
			require.ErrorIs(t, err, os.ErrNotExist, "no new file is created")
		})
	}
}

// replace replaces a file with a copy.
func replace(path string) error {
	all, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", all, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// The write-ahead log is beside the file that a link leads to.
func TestALinkIsWatchedWithItsTarget(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(link, target string) error{
		"link deleted": func(link, _ string) error { return os.Remove(link) },
		"link led away": func(link, target string) error {
			return errors.Join(os.Remove(link), os.WriteFile(target+".2", nil, 0o600), os.Symlink(target+".2", link))
		},
		"target deleted":  func(_, target string) error { return os.Remove(target) },
		"its log deleted": func(_, target string) error { return os.Remove(target + "-wal") },
		"all of it deleted": func(link, target string) error {
			return errors.Join(os.Remove(link), os.RemoveAll(filepath.Dir(target)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			target, link := filepath.Join(t.TempDir(), "real.db"), filepath.Join(t.TempDir(), "queue.db")
			require.NoError(t, os.Symlink(target, link))
			q, err := sqliteoutbox.Open(t.Context(), link, api.Client(), outbox.Options{Workers: -1, Logger: new(logged).logger()})
			require.NoError(t, err)
			closed(t, q)
			require.NoError(t, q.Enqueue(t.Context(), click(api)))
			require.NoError(t, away(link, target))
			require.ErrorContains(t, q.Enqueue(t.Context(), click(api)), "restart the program")
		})
	}
}

func TestAFileThatIsPutBackIsUsedAgain(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	var log logged
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), outbox.Options{Workers: -1, Logger: log.logger()})
	require.NoError(t, err)
	closed(t, q)
	require.NoError(t, os.Rename(path, path+".old"))
	require.Error(t, q.Enqueue(t.Context(), click(api)))
	require.NoError(t, os.Rename(path+".old", path))
	tracking := click(api)
	require.NoError(t, q.Enqueue(t.Context(), tracking))
	assert.Equal(t, 1, count(log.String(), "the database's file is back"))

	next, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
	require.NoError(t, err)
	_, known, err := closed(t, next).Lookup(t.Context(), tracking)
	require.NoError(t, err)
	assert.True(t, known)
}

func TestTheApplicationsFileIsWatchedToo(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	db := shop(t, settings)
	var log logged
	q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), outbox.Options{Workers: -1, Logger: log.logger()})
	require.NoError(t, err)
	closed(t, q)
	require.NoError(t, q.Enqueue(t.Context(), click(api)))
	var seq int
	var name, path string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA database_list").Scan(&seq, &name, &path))
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, q.Enqueue(t.Context(), click(api)), "restart the program")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback() //nolint:errcheck // the file is gone
	require.ErrorContains(t, q.EnqueueTx(t.Context(), tx, click(api)), "restart the program")
	assert.Equal(t, 1, count(log.String(), "deleted, moved or replaced"))
}

// SQLite would delete a write-ahead log without its database.
func TestOpenDeletesNoLogOfAMissingFile(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "queue.db")
	require.NoError(t, os.WriteFile(path+"-wal", []byte("frames"), 0o600))
	_, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
	require.ErrorContains(t, err, "put the file back")
	left, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	assert.Equal(t, "frames", string(left))
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The steps follow docs/outbox.md.
func TestABackupOfAnOpenFileCanBeRestored(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
	require.NoError(t, err)
	before, after := click(api), click(api)
	require.NoError(t, q.Enqueue(t.Context(), before))
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "VACUUM INTO ?", path+".backup")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, q.Enqueue(t.Context(), after))
	require.NoError(t, q.Close(t.Context()))

	for _, left := range []string{"-wal", "-shm"} {
		require.NoError(t, os.RemoveAll(path+left))
	}
	require.NoError(t, os.Rename(path+".backup", path))
	var log logged
	q, err = sqliteoutbox.Open(t.Context(), path, api.Client(), outbox.Options{
		Logger: log.logger(),
		Source: func(context.Context, time.Time) ([]sparkloop.Tracking, error) {
			return []sparkloop.Tracking{before, after}, nil
		},
	})
	require.NoError(t, err)
	closed(t, q)
	require.NoError(t, api.WaitConfirmed(t.Context(), before))
	require.NoError(t, api.WaitConfirmed(t.Context(), after))
	stats, err := q.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, stats.Swept)
}
