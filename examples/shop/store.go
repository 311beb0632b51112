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
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
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
	id       TEXT PRIMARY KEY,
	email    TEXT NOT NULL REFERENCES users,
	tracking TEXT,
	created  INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS clicks (
	tracking TEXT NOT NULL,
	created  INTEGER NOT NULL
) STRICT;`

// store is the database, and the queue of conversions in it.
type store struct {
	db    *sql.DB
	queue *sqliteoutbox.Outbox
	now   func() time.Time
}

var (
	errNoUser    = errors.New("no such user")
	errNoOrder   = errors.New("no such order")
	errNotTheirs = errors.New("the order is another user's")
)

// openStore opens a SQLite file for several connections. Readers do not wait for a
// writer (WAL). Writers wait for each other (busy_timeout). A transaction takes the
// write lock at its start (txlock): if it does so later, it fails when another one
// was first. A commit survives a power cut (synchronous=FULL).
//
// The queue creates its own tables in the file, and delivers what an earlier
// process has left.
func openStore(ctx context.Context, path string, client *sparkloop.Client, o outbox.Options) (*store, error) {
	const pragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate"
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	queue, err := sqliteoutbox.OpenDB(ctx, db, client, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &store{db, queue, o.Now}, nil
}

// close ends delivery, then closes the database.
func (s *store) close(ctx context.Context) error {
	return errors.Join(s.queue.Close(ctx), s.db.Close())
}

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
	defer rows.Close() //nolint:errcheck // rows.Err has the error
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

// firstNew returns the click that the user's next purchase confirms: the row's,
// then the cookie's. Clicks that are expired or in the queue are skipped.
//
// Copy outbox.FirstNew alone: the rest is for tests, which move the shop's clock.
func (s *store) firstNew(ctx context.Context, row, cookie sparkloop.Tracking) (sparkloop.Tracking, error) {
	if expires := row.ExpiresAt(); !expires.IsZero() && !s.now().Before(expires) {
		row = sparkloop.Tracking{}
	}
	return outbox.FirstNew(ctx, s.queue, row, cookie) // capture uses the same clock
}

// signUp stores the user with the cookie's tracking in one transaction, or signs in
// the user who exists. It returns the ID of the new session.
func (s *store) signUp(ctx context.Context, email string, cookie sparkloop.Tracking) (session string, err error) {
	session, now := newID(), s.now().UnixMilli()
	err = s.within(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO users (email, created) VALUES (?, ?) ON CONFLICT DO NOTHING`, email, now)
		if err != nil {
			return err
		}
		live, err := s.liveTracking(ctx, tx, email, cookie)
		if err != nil {
			return err
		}
		if !live.IsZero() {
			if _, err := tx.ExecContext(ctx, `UPDATE users SET tracking = ? WHERE email = ?`, live, email); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sessions (id, email, created) VALUES (?, ?, ?)`, session, email, now)
		return err
	})
	return session, err
}

// liveTracking returns the click that counts for the user now.
func (s *store) liveTracking(ctx context.Context, tx *sql.Tx, email string, cookie sparkloop.Tracking) (sparkloop.Tracking, error) {
	var row sparkloop.Tracking
	err := tx.QueryRowContext(ctx, `SELECT tracking FROM users WHERE email = ?`, email).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errNoUser
	} else if err != nil {
		return row, err
	}
	return s.firstNew(ctx, row, cookie)
}

// session returns the email of the session's user.
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
