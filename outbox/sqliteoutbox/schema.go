package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// version is the schema that this program makes. A change adds, so that an
// older program runs on a newer schema as long as that one's minimum allows it.
const version = 1

// Times are unix milliseconds on the queue's clock, but for captured, which is
// in seconds; 0 is none. States are in the order of states, lanes are those of
// package delivery, and due orders a lane. A conversion that is being delivered is
// claimed until that time. finished of a pending one is when it was redriven.
//
// A checkout waits for the insert, so that writes to the table and two indexes
// alone. Finished conversions, which most are, are counted when they finish; rows
// 1 to 3 of sparkloop_counts are those in a state, row 4 is those of them that
// were swept.
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
