package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// version is the schema that this program makes. A change adds, so that an
// older program runs on a newer schema as long as that one's minimum allows it.
const version = 1

// Times are unix milliseconds on the queue's clock, but for captured, which is
// in seconds; 0 is none. States are in the order of states. A conversion that is
// being delivered is claimed, until due.
const schema = `
CREATE TABLE sparkloop_outbox (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	version  INTEGER NOT NULL,
	minimum  INTEGER NOT NULL,
	revision INTEGER NOT NULL DEFAULT 0,
	shared   TEXT    NOT NULL DEFAULT ''
);
INSERT INTO sparkloop_outbox (id, version, minimum) VALUES (1, 1, 1);
CREATE TABLE sparkloop_conversions (
	id         INTEGER PRIMARY KEY,
	offer      TEXT    NOT NULL,
	submission TEXT    NOT NULL,
	captured   INTEGER NOT NULL,
	enqueued   INTEGER NOT NULL,
	state      INTEGER NOT NULL DEFAULT 0,
	due        INTEGER NOT NULL,
	claimed    INTEGER NOT NULL DEFAULT 0,
	attempts   INTEGER NOT NULL DEFAULT 0,
	reason     TEXT    NOT NULL DEFAULT '',
	finished   INTEGER NOT NULL DEFAULT 0,
	swept      INTEGER NOT NULL DEFAULT 0,
	UNIQUE (offer, submission)
);
CREATE INDEX sparkloop_conversions_due ON sparkloop_conversions (due) WHERE state = 0;
CREATE INDEX sparkloop_conversions_state ON sparkloop_conversions (state) WHERE state > 0;
CREATE INDEX sparkloop_conversions_finished ON sparkloop_conversions (finished, state) WHERE state > 0;
CREATE INDEX sparkloop_conversions_swept ON sparkloop_conversions (swept) WHERE swept > 0;
`

// openFile opens the pool for a file of our own.
func openFile(path string) (*sql.DB, error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	if !strings.HasPrefix(name.Path, "/") {
		name.Path = "/" + name.Path // C:/...
	}
	return sql.Open("sqlite", name.String()+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
}

// making keeps SQLite from a file that makeFile has not closed yet.
var making sync.Mutex

// makeFile makes the file if there is none, for this user alone. It never opens
// one that is there: closing it would drop the locks that SQLite has on it
// elsewhere in this process.
func makeFile(path string) error {
	making.Lock()
	defer making.Unlock()
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s cannot be written: it is not a file", path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil { //nolint:gosec // the caller's own path
			err = f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", unwritable, err)
	}
	return nil
}

const unwritable = "the file cannot be written; its folder must exist and let this process write"

// plain says in clear words why a file cannot be ours.
func plain(path string, err error) error {
	var said *sqlite.Error
	if !errors.As(err, &said) {
		return err
	}
	switch said.Code() & 0xff { // the rest is SQLite's detail
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a SQLite database; it is left as it is: give another path: %w", path, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%s: %w", unwritable, err)
	}
	return err
}

// prepare makes the tables, brings them up to date, or only checks them.
func prepare(ctx context.Context, db *sql.DB, noMigrate bool) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(new(string)); err != nil {
		return fmt.Errorf("it cannot be used as a SQLite database: %w", err)
	}
	if noMigrate {
		return check(ctx, conn)
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("it cannot be written: %w", err)
	}
	err = migrate(ctx, conn)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	if _, endErr := conn.ExecContext(context.WithoutCancel(ctx), end); err == nil {
		err = endErr
	}
	if err != nil {
		return err
	}
	return check(ctx, conn)
}

func migrate(ctx context.Context, conn *sql.Conn) error {
	have, _, err := versions(ctx, conn)
	if err != nil || have > 0 {
		return err
	}
	if _, err := conn.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	return nil
}

// check refuses a schema that this program cannot work with.
func check(ctx context.Context, conn *sql.Conn) error {
	have, minimum, err := versions(ctx, conn)
	switch {
	case err != nil:
		return err
	case have == 0:
		return errors.New("the tables are missing and NoMigrate is set: open it once without NoMigrate")
	case have < version:
		return fmt.Errorf("the tables are of version %d, this program needs %d, and NoMigrate is set: open it once without NoMigrate", have, version)
	case minimum > version:
		return fmt.Errorf("the tables are of version %d, for programs from version %d on, and this one is of version %d: use a newer one", have, minimum, version)
	}
	return nil
}

// versions returns those of the schema that is there, 0 if there is none.
func versions(ctx context.Context, conn *sql.Conn) (have, minimum int, err error) {
	var tables int
	err = conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'sparkloop_outbox'").Scan(&tables)
	if err != nil || tables == 0 {
		return 0, 0, err
	}
	err = conn.QueryRowContext(ctx, "SELECT version, minimum FROM sparkloop_outbox").Scan(&have, &minimum)
	return have, minimum, err
}
