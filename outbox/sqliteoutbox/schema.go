package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// version is the version of the schema. A change only adds, so that an older
// program works with a newer schema if its minimum allows it.
const version = 1

// schema creates the tables. Times are unix milliseconds on the queue's clock, or 0
// for none; captured is in seconds. States are numbers in the order of states.
// Lanes are those of package delivery, and due orders a lane. claimed is the end of
// a claim. finished of a pending conversion is when it was redriven.
//
// A checkout waits for the insert, so it writes only the table and two indexes.
// Finished conversions are counted by triggers: in sparkloop_counts, rows 1 to 3
// count a state, and row 4 counts the swept ones of these states.
const schema = `
CREATE TABLE sparkloop_outbox (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	version  INTEGER NOT NULL,
	minimum  INTEGER NOT NULL,
	revision INTEGER NOT NULL DEFAULT 0,
	shared   TEXT    NOT NULL DEFAULT ''
) STRICT;
INSERT INTO sparkloop_outbox (id, version, minimum) VALUES (1, 1, 1);
CREATE TABLE sparkloop_conversions (
	id         INTEGER PRIMARY KEY,
	offer      TEXT    NOT NULL,
	submission TEXT    NOT NULL,
	captured   INTEGER NOT NULL,
	enqueued   INTEGER NOT NULL,
	state      INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3),
	lane       INTEGER NOT NULL DEFAULT 2,
	due        INTEGER NOT NULL,
	claimed    INTEGER NOT NULL DEFAULT 0,
	attempts   INTEGER NOT NULL DEFAULT 0,
	reason     TEXT    NOT NULL DEFAULT '',
	finished   INTEGER NOT NULL DEFAULT 0,
	swept      INTEGER NOT NULL DEFAULT 0,
	test       INTEGER NOT NULL DEFAULT 0,
	UNIQUE (offer, submission)
) STRICT;
CREATE INDEX sparkloop_conversions_due ON sparkloop_conversions (lane, due, finished) WHERE state = 0;
CREATE INDEX sparkloop_conversions_state ON sparkloop_conversions (state) WHERE state > 0;
CREATE INDEX sparkloop_conversions_finished ON sparkloop_conversions (state, finished) WHERE state > 0;
CREATE INDEX sparkloop_conversions_swept ON sparkloop_conversions (swept) WHERE state = 0 AND swept > 0;
CREATE TABLE sparkloop_counts (
	what INTEGER PRIMARY KEY,
	n    INTEGER NOT NULL
) STRICT;
INSERT INTO sparkloop_counts VALUES (1, 0), (2, 0), (3, 0), (4, 0);
CREATE TRIGGER sparkloop_conversions_moved AFTER UPDATE OF state ON sparkloop_conversions BEGIN
	UPDATE sparkloop_counts
	SET n = n + (what = new.state) - (what = old.state) + (what = 4) * new.swept * ((new.state > 0) - (old.state > 0))
	WHERE what IN (old.state, new.state, 4);
END;
CREATE TRIGGER sparkloop_conversions_deleted AFTER DELETE ON sparkloop_conversions WHEN old.state > 0 BEGIN
	UPDATE sparkloop_counts SET n = n - (what = old.state) - (what = 4) * old.swept WHERE what IN (old.state, 4);
END;
`

// prepare creates, updates or only checks the tables.
func prepare(ctx context.Context, db *sql.DB, noMigrate bool) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close() //nolint:errcheck // returns it to the pool
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(new(string)); err != nil {
		return fmt.Errorf("not usable as a SQLite database: %w", err)
	}
	if noMigrate {
		return check(ctx, conn)
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("the database cannot be written: %w", err)
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
		return fmt.Errorf("create the tables: %w", err)
	}
	return nil
}

// check returns an error for a schema that this program cannot use.
func check(ctx context.Context, conn *sql.Conn) error {
	have, minimum, err := versions(ctx, conn)
	switch {
	case err != nil:
		return err
	case have == 0:
		return errors.New("the tables are missing and NoMigrate is set: open it once without NoMigrate")
	case have < version:
		return fmt.Errorf("the tables have version %d, this program needs %d, and NoMigrate is set: open it once without NoMigrate", have, version)
	case minimum > version:
		return fmt.Errorf("the tables have version %d, which needs a program of version %d or later; this program has version %d: update it", have, minimum, version)
	}
	return nil
}

// versions returns the versions of the existing schema, or 0 if there is none.
func versions(ctx context.Context, conn *sql.Conn) (have, minimum int, err error) {
	var tables int
	err = conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'sparkloop_outbox'").Scan(&tables)
	if err != nil || tables == 0 {
		return 0, 0, err
	}
	err = conn.QueryRowContext(ctx, "SELECT version, minimum FROM sparkloop_outbox").Scan(&have, &minimum)
	return have, minimum, err
}
