package sqliteoutbox_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestOpenSaysWhatIsWrongWithAPath(t *testing.T) {
	t.Parallel()
	c := sparklooptest.NewServer(t).Client()
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(text, []byte("not a database"), 0o600))
	for path, want := range map[string]string{
		"":                                   "is not the path of a file",
		":memory:":                           "is not the path of a file",
		"file:queue.db?mode=ro":              "is not the path of a file",
		dir:                                  "cannot be written: it is not a file",
		filepath.Join(dir, "none", "new.db"): "its folder must exist",
		filepath.Join(text, "new.db"):        "its folder must exist",
		"/proc/new.db":                       "be writable by this process",
		text:                                 "is not a SQLite database; it was not changed",
	} {
		q, err := sqliteoutbox.Open(t.Context(), path, c, outbox.Options{})
		assert.Nil(t, q)
		assert.ErrorContains(t, err, want, path)
		assert.ErrorContains(t, err, "sparkloop outbox: open", path)
	}
	left, err := os.ReadFile(text)
	require.NoError(t, err)
	assert.Equal(t, "not a database", string(left))
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, all, 1, "nothing was created")
}

func TestOpenSaysThatAFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	c := sparklooptest.NewServer(t).Client()
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqliteoutbox.Open(t.Context(), path, c, enqueueOnly)
	require.NoError(t, err)
	require.NoError(t, q.Close(t.Context()))
	refused := func(t *testing.T) {
		t.Helper()
		for _, noMigrate := range []bool{false, true} {
			_, err := sqliteoutbox.Open(t.Context(), path, c, outbox.Options{Workers: -1, NoMigrate: noMigrate})
			assert.ErrorContains(t, err, "the file cannot be written; its folder must exist and be writable by this process", noMigrate)
		}
	}
	require.NoError(t, os.Mkdir(path+"-wal", 0o700))
	refused(t)
	require.NoError(t, os.Remove(path+"-wal"))
	if os.Geteuid() <= 0 {
		return // root can write every file
	}
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o500))
	refused(t)
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o700))
	require.NoError(t, os.Chmod(path, 0o400))
	refused(t)
}

func TestOpenRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	c := sparklooptest.NewServer(t).Client()
	path := filepath.Join(t.TempDir(), "queue.db")
	_, err := sqliteoutbox.Open(t.Context(), path, nil, outbox.Options{})
	require.ErrorContains(t, err, "the client is nil")
	_, err = sqliteoutbox.Open(t.Context(), path, c, outbox.Options{RetryMin: -time.Second})
	require.ErrorContains(t, err, "outbox.Options.RetryMin: -1s is negative")
	_, err = sqliteoutbox.OpenDB(t.Context(), nil, c, outbox.Options{})
	require.ErrorContains(t, err, "the database is nil")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sqliteoutbox.Open(ended, path, c, outbox.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpenDBRefusesAnotherDatabase(t *testing.T) {
	t.Parallel()
	db := sql.OpenDB(unreachable{})
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	_, err := sqliteoutbox.OpenDB(t.Context(), db, sparklooptest.NewServer(t).Client(), outbox.Options{})
	require.ErrorContains(t, err, "sparkloop outbox: open: connect: no such host")
}

// unreachable is a driver that cannot connect.
type unreachable struct{}

func (unreachable) Connect(context.Context) (driver.Conn, error) {
	return nil, errors.New("no such host")
}
func (unreachable) Driver() driver.Driver { return nil }

func TestOthersCannotReadTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqliteoutbox.Open(t.Context(), path, sparklooptest.NewServer(t).Client(), enqueueOnly)
	require.NoError(t, err)
	closed(t, q)
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func TestSeveralProcessesOpenANewFileAtOnce(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "queue.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
			if assert.NoError(t, err) {
				assert.NoError(t, q.Enqueue(t.Context(), click(api)))
				assert.NoError(t, q.Close(t.Context()))
			}
		})
	}
	wg.Wait()
	q, err := sqliteoutbox.Open(t.Context(), path, api.Client(), enqueueOnly)
	require.NoError(t, err)
	stats, err := closed(t, q).Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 8, stats.Pending)
}

func TestSchemaVersions(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	db := shop(t, settings)
	open := func(o outbox.Options) error {
		q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), o)
		if err == nil {
			require.NoError(t, q.Enqueue(t.Context(), click(api)))
			require.NoError(t, q.Close(t.Context()))
		}
		return err
	}
	exec := func(query string) {
		_, err := db.ExecContext(t.Context(), query)
		require.NoError(t, err)
	}
	untouched := outbox.Options{NoMigrate: true, Workers: -1}
	require.ErrorContains(t, open(untouched), "the tables are missing and NoMigrate is set: open it once without NoMigrate")
	var tables int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_master WHERE name LIKE 'sparkloop%'").Scan(&tables))
	require.Zero(t, tables)

	require.NoError(t, open(enqueueOnly))
	require.NoError(t, open(untouched))

	// A later version has added a column, and was rolled back.
	exec("ALTER TABLE sparkloop_conversions ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")
	exec("UPDATE sparkloop_outbox SET version = 9")
	require.NoError(t, open(enqueueOnly))
	require.NoError(t, open(untouched))
	exec("UPDATE sparkloop_outbox SET minimum = 7")
	require.ErrorContains(t, open(enqueueOnly), "the tables have version 9, which needs a program of version 7 or later; this program has version 1: update it")
	exec("UPDATE sparkloop_outbox SET version = 0, minimum = 0")
	require.ErrorContains(t, open(untouched), "open it once without NoMigrate")
}

func TestTheLogIsWarnedOfTheDatabase(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	for want, db := range map[string]*sql.DB{
		"the database's connections have no busy_timeout": shop(t, ""),
		"the database is in memory":                       memory(t),
	} {
		var log logged
		q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), outbox.Options{Logger: log.logger()})
		require.NoError(t, err)
		closed(t, q)
		assert.Contains(t, log.String(), want)
		tracking := click(api)
		require.NoError(t, q.Enqueue(t.Context(), tracking))
		require.NoError(t, api.WaitConfirmed(t.Context(), tracking))
	}
}

// memory returns a database that is empty for each connection except the first.
func memory(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}
