package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sparkloop-go/sparkloop"
)

// order is a row of orders. The queue has the state of its conversion.
type order struct {
	ID, Email string
	Tracking  sparkloop.Tracking // zero if the buyer did not come through SparkLoop
}

const orderColumns = `id, email, tracking`

// scanOrder reads the columns of orderColumns.
func scanOrder(row interface{ Scan(...any) error }) (o order, err error) {
	err = row.Scan(&o.ID, &o.Email, &o.Tracking)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoOrder
	}
	return o, err
}

func (s *store) order(ctx context.Context, id string) (order, error) {
	return scanOrder(s.db.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders WHERE id = ?`, id))
}

// placeOrder stores the order and enqueues its conversion in one transaction: there
// is never one without the other. The user's row is cleared, so that the next click
// counts. An order that exists is returned unchanged.
func (s *store) placeOrder(ctx context.Context, id, email string, cookie sparkloop.Tracking) (o order, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		o, err = scanOrder(tx.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders WHERE id = ?`, id))
		switch {
		case err == nil && o.Email != email:
			return errNotTheirs
		case !errors.Is(err, errNoOrder):
			return err
		}
		tracking, err := s.liveTracking(ctx, tx, email, cookie)
		if err != nil {
			return err
		}
		o = order{id, email, tracking}
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id, email, tracking, created) VALUES (?, ?, ?, ?)`,
			id, email, tracking, s.now().UnixMilli()); err != nil {
			return err
		}
		if err := s.queue.EnqueueTx(ctx, tx, tracking); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE users SET tracking = NULL WHERE email = ? AND tracking = ?`, email, tracking)
		return err
	})
	return o, err
}
