package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sparkloop-go/sparkloop"
)

// schema has a sparkloop.Tracking in a text column, NULL for none. Times are
// milliseconds.
const schema = `
CREATE TABLE IF NOT EXISTS users (
	email    TEXT PRIMARY KEY,
	tracking TEXT,
	created  INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
	id      TEXT PRIMARY KEY,
	email   TEXT NOT NULL REFERENCES users,
	created INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS orders (
	id           TEXT PRIMARY KEY,
	email        TEXT NOT NULL REFERENCES users,
	tracking     TEXT,
	created      INTEGER NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('untracked', 'pending', 'confirmed', 'refused')),
	confirmed_at INTEGER,
	tries        INTEGER NOT NULL DEFAULT 0,
	next_try     INTEGER NOT NULL,
	error        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS orders_due ON orders (next_try) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS clicks (
	tracking TEXT NOT NULL,
	created  INTEGER NOT NULL
) STRICT;`

// store is the database.
type store struct {
	db  *sql.DB
	now func() time.Time
}

var (
	errNoUser    = errors.New("no such user")
	errNoOrder   = errors.New("no such order")
	errNotTheirs = errors.New("the order is another user's")
)

// openStore opens a SQLite file for several connections at once: readers do not
// wait for the writer (WAL), writers wait for each other (busy_timeout) and say
// at once that they will write (txlock), for a transaction that decides so
// later fails when another one was first. synchronous=FULL is what survives a
// power cut.
func openStore(ctx context.Context, path string) (*store, error) {
	const pragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate"
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return &store{db: db, now: time.Now}, nil
}

func (s *store) close() error { return s.db.Close() }

// within runs do in a transaction.
func (s *store) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// query reads all rows of a query, each with scan.
func query[T any](ctx context.Context, s *store, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has said it
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// firstLive is what a user's purchase counts for: the row's tracking while it
// lives, then the cookie's. So a second click replaces a stale one.
//
// With the clock of time.Now it is sparkloop.FirstLive(row, cookie) and no more.
// Here a test may have moved the shop's clock, so what is over by that one is
// taken out before.
func (s *store) firstLive(row, cookie sparkloop.Tracking) sparkloop.Tracking {
	if expires := row.ExpiresAt(); !expires.IsZero() && !s.now().Before(expires) {
		row = sparkloop.Tracking{}
	}
	return sparkloop.FirstLive(row, cookie) // capture drops by the same clock
}

// signUp adds the user with the cookie's tracking in one transaction, or signs
// in one that there is already. It returns the id of the new session.
func (s *store) signUp(ctx context.Context, email string, cookie sparkloop.Tracking) (session string, err error) {
	session, now := newID(), s.now().UnixMilli()
	err = s.within(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO users (email, created) VALUES (?, ?) ON CONFLICT DO NOTHING`, email, now)
		if err != nil {
			return err
		}
		if _, err := s.keepTracking(ctx, tx, email, cookie); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sessions (id, email, created) VALUES (?, ?, ?)`, session, email, now)
		return err
	})
	return session, err
}

// keepTracking returns what counts for the user now, and sees to it that it is
// what the user's row has.
func (s *store) keepTracking(ctx context.Context, tx *sql.Tx, email string, cookie sparkloop.Tracking) (sparkloop.Tracking, error) {
	var row sparkloop.Tracking
	err := tx.QueryRowContext(ctx, `SELECT tracking FROM users WHERE email = ?`, email).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errNoUser
	} else if err != nil {
		return row, err
	}
	live := s.firstLive(row, cookie)
	if live.IsZero() || live == row {
		return live, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE users SET tracking = ? WHERE email = ?`, live, email)
	return live, err
}

// session is the email of who has the session.
func (s *store) session(ctx context.Context, id string) (email string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT email FROM sessions WHERE id = ?`, id).Scan(&email)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errNoUser
	}
	return email, err
}

// addClick is for the status page alone.
func (s *store) addClick(ctx context.Context, t sparkloop.Tracking) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO clicks (tracking, created) VALUES (?, ?)`, t, s.now().UnixMilli())
	return err
}
