package main

import (
	"context"
	"crypto/rand"
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

// schema has a sparkloop.Tracking in a text column, NULL for none. Times are in
// seconds.
const schema = `
CREATE TABLE IF NOT EXISTS users (
	email    TEXT PRIMARY KEY,
	tracking TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
	id    TEXT PRIMARY KEY,
	email TEXT NOT NULL REFERENCES users
) STRICT;
CREATE TABLE IF NOT EXISTS orders (
	id       TEXT PRIMARY KEY,
	email    TEXT NOT NULL REFERENCES users,
	tracking TEXT,
	paid_at  INTEGER
) STRICT;`

var errNotFound = errors.New("not found")

// store is the database, and the queue of conversions in it.
type store struct {
	db    *sql.DB
	queue *sqliteoutbox.Outbox
}

// openStore opens a SQLite file. The queue makes its own tables in it, and
// delivers what an earlier process has left.
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
	return &store{db, queue}, nil
}

// close stops delivery, then closes the database.
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

// tracking is the one in the user's row, zero also for an unknown user.
func (s *store) tracking(ctx context.Context, email string) (t sparkloop.Tracking, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT tracking FROM users WHERE email = ?`, email).Scan(&t)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return t, err
}

// signUp writes the user, or signs in the one that exists, and returns the ID of
// the session. A zero tracking does not change the row.
func (s *store) signUp(ctx context.Context, email string, t sparkloop.Tracking) (session string, err error) {
	session = rand.Text()
	return session, s.within(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO users (email, tracking) VALUES (?, ?)
			ON CONFLICT DO UPDATE SET tracking = coalesce(excluded.tracking, tracking)`, email, t)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sessions (id, email) VALUES (?, ?)`, session, email)
		return err
	})
}

// session is the email of the session's user.
func (s *store) session(ctx context.Context, id string) (email string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT email FROM sessions WHERE id = ?`, id).Scan(&email)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNotFound
	}
	return email, err
}

// addOrder writes an unpaid order and returns its ID.
func (s *store) addOrder(ctx context.Context, email string, t sparkloop.Tracking) (id string, err error) {
	id = rand.Text()
	_, err = s.db.ExecContext(ctx, `INSERT INTO orders (id, email, tracking) VALUES (?, ?, ?)`, id, email, t)
	return id, err
}

// order is a row of orders. The queue has the state of its conversion.
type order struct {
	ID, Email string
	Tracking  sparkloop.Tracking // zero if the buyer did not come through SparkLoop
	Paid      bool
}

func (s *store) order(ctx context.Context, id string) (o order, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT id, email, tracking, paid_at IS NOT NULL FROM orders WHERE id = ?`, id).
		Scan(&o.ID, &o.Email, &o.Tracking, &o.Paid)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNotFound
	}
	return o, err
}

// pay marks the order as paid and enqueues its conversion in one transaction. If
// another order has used the click by now, the user's row may have a newer one.
// Paying twice changes nothing.
func (s *store) pay(ctx context.Context, id string) error {
	o, err := s.order(ctx, id)
	if err != nil || o.Paid {
		return err
	}
	row, err := s.tracking(ctx, o.Email)
	if err != nil {
		return err
	}
	tracking, err := outbox.FirstNew(ctx, s.queue, o.Tracking, row)
	if err != nil {
		return err
	}
	return s.within(ctx, func(tx *sql.Tx) error {
		paid, err := tx.ExecContext(ctx, `UPDATE orders SET paid_at = ?, tracking = ? WHERE id = ? AND paid_at IS NULL`,
			time.Now().Unix(), tracking, id)
		if err != nil {
			return err
		}
		if n, err := paid.RowsAffected(); err != nil || n == 0 {
			return err // paid by the same webhook a moment ago
		}
		return s.queue.EnqueueTx(ctx, tx, tracking)
	})
}
