package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// The states of an order's confirmation. It leaves pending in one way only:
// SparkLoop has answered.
const (
	untracked = "untracked" // the buyer did not come through SparkLoop
	pending   = "pending"
	confirmed = "confirmed"
	refused   = "refused" // for good; error is for a person
)

// order is a row of orders.
type order struct {
	ID, Email string
	Tracking  sparkloop.Tracking
	State     string
	Tries     int
}

const orderColumns = `id, email, tracking, state, tries`

// scanOrder reads the columns of orderColumns.
func scanOrder(row interface{ Scan(...any) error }) (o order, err error) {
	err = row.Scan(&o.ID, &o.Email, &o.Tracking, &o.State, &o.Tries)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoOrder
	}
	return o, err
}

func (s *store) order(ctx context.Context, id string) (order, error) {
	return scanOrder(s.db.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders WHERE id = ?`, id))
}

// placeOrder writes the order and the tracking that it counts for in one
// transaction: from its commit on, no crash can lose the conversion. An order
// that is there already is returned as it is.
func (s *store) placeOrder(ctx context.Context, id, email string, cookie sparkloop.Tracking) (o order, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		o, err = scanOrder(tx.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders WHERE id = ?`, id))
		switch {
		case err == nil && o.Email != email:
			return errNotTheirs
		case !errors.Is(err, errNoOrder):
			return err
		}
		o = order{ID: id, Email: email, State: pending}
		if o.Tracking, err = s.keepTracking(ctx, tx, email, cookie); err != nil {
			return err
		}
		if o.Tracking.IsZero() {
			o.State = untracked
		}
		now := s.now()
		// Whoever places the order confirms it at once. Should the process die
		// before that, the order is due soon after.
		_, err = tx.ExecContext(ctx, `INSERT INTO orders (id, email, tracking, state, created, next_try) VALUES (?, ?, ?, ?, ?, ?)`,
			o.ID, o.Email, o.Tracking, o.State, now.UnixMilli(), now.Add(2*patience).UnixMilli())
		return err
	})
	return o, err
}

// due are the orders whose time for another try has come, the oldest first.
func (s *store) due(ctx context.Context) ([]order, error) {
	return query(ctx, s, func(rows *sql.Rows) (order, error) { return scanOrder(rows) },
		`SELECT `+orderColumns+` FROM orders WHERE state = 'pending' AND next_try <= ? ORDER BY next_try LIMIT 50`, s.now().UnixMilli())
}

// confirm notes that SparkLoop took the conversion, and frees the user's row
// for the next click.
func (s *store) confirm(ctx context.Context, o order) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE orders SET state = 'confirmed', confirmed_at = ?, tries = tries + 1, error = ''
			WHERE id = ? AND state = 'pending'`, s.now().UnixMilli(), o.ID)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE users SET tracking = NULL WHERE email = ? AND tracking = ?`, o.Email, o.Tracking)
		return err
	})
}

// postpone leaves the order pending, with the reason.
func (s *store) postpone(ctx context.Context, o order, wait time.Duration, reason error) error {
	_, err := s.db.ExecContext(ctx, `UPDATE orders SET tries = tries + 1, next_try = ?, error = ? WHERE id = ? AND state = 'pending'`,
		s.now().Add(wait).UnixMilli(), reason.Error(), o.ID)
	return err
}

// refuse sets the order's confirmation aside for a person.
func (s *store) refuse(ctx context.Context, o order, reason error) error {
	_, err := s.db.ExecContext(ctx, `UPDATE orders SET state = 'refused', tries = tries + 1, error = ? WHERE id = ? AND state = 'pending'`,
		reason.Error(), o.ID)
	return err
}
