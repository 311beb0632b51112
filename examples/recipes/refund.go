package recipes

import (
	"context"
	"errors"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// RefundSchema has the time from which an order is confirmed. conversion is
// Tracking.Key, and unique: a click counts for one order.
const RefundSchema = `
CREATE TABLE orders (
	id          TEXT PRIMARY KEY,
	paid_at     TIMESTAMP NOT NULL,
	refunded_at TIMESTAMP,
	tracking    VARCHAR(277),
	conversion  VARCHAR(257) UNIQUE,
	confirm_at  TIMESTAMP
);
CREATE INDEX orders_confirm_at ON orders (confirm_at)`

// refundWindow is how long a buyer may ask for the money back.
const refundWindow = 14 * 24 * time.Hour

// ConfirmAt is when the refund window is over, but at least a day before the 45
// days are: SparkLoop takes no confirmation after that.
func ConfirmAt(t sparkloop.Tracking, paid time.Time) time.Time {
	at := paid.Add(refundWindow)
	if expires := t.ExpiresAt(); !expires.IsZero() && at.After(expires.AddDate(0, 0, -1)) {
		at = expires.AddDate(0, 0, -1)
	}
	return at.UTC()
}

// Paid writes a paid order. candidates are the user's row, then the cookie. The
// order waits with its click. Do not call Enqueue: NotRefunded returns the order
// when its time has come.
func (s *Site) Paid(ctx context.Context, id string, paid time.Time, candidates ...sparkloop.Tracking) error {
	var unused []sparkloop.Tracking
	for _, t := range candidates {
		if used, err := s.used(ctx, t); err != nil {
			return err
		} else if !used {
			unused = append(unused, t)
		}
	}
	tracking, err := outbox.FirstNew(ctx, s.Queue, unused...)
	if err != nil {
		return err
	}
	if tracking.IsZero() {
		_, err = s.DB.ExecContext(ctx, `INSERT INTO orders (id, paid_at) VALUES ($1, $2)`, id, paid.UTC())
		return err
	}
	_, err = s.DB.ExecContext(ctx, `INSERT INTO orders (id, paid_at, tracking, conversion, confirm_at) VALUES ($1, $2, $3, $4, $5)`,
		id, paid.UTC(), tracking, tracking.Key(), ConfirmAt(tracking, paid))
	return err
}

// used reports whether an order has the click. The queue gets it only after the
// refund window.
func (s *Site) used(ctx context.Context, t sparkloop.Tracking) (used bool, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT count(*) > 0 FROM orders WHERE conversion = $1`, t.Key()).Scan(&used)
	return used, err
}

// Used is for capture.Options.Enqueued, in the place of outbox.Enqueued.
func (s *Site) Used(ctx context.Context, t sparkloop.Tracking) bool {
	used, err := s.used(ctx, t)
	return err == nil && (used || outbox.Enqueued(s.Queue)(ctx, t))
}

// NotRefunded is for outbox.Options.Source: the orders whose time has come since
// the last sweep.
func (s *Site) NotRefunded(ctx context.Context, since time.Time) (all []sparkloop.Tracking, err error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT tracking FROM orders
		WHERE refunded_at IS NULL AND confirm_at >= $1 AND confirm_at <= $2`, since.UTC(), time.Now().UTC())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t sparkloop.Tracking
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}
