package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sparkloop-go/sparkloop"
)

// ordersSchema has the tracking in the order's row, NULL for a buyer who did not
// come through SparkLoop. Times are milliseconds.
const ordersSchema = `
CREATE TABLE IF NOT EXISTS orders (
	id        INTEGER PRIMARY KEY,
	item      TEXT NOT NULL,
	tracking  VARCHAR(277),
	paid_at BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_paid_at ON orders (paid_at);`

// orders is the shop's own database. The queue knows nothing of it.
type orders struct{ db *sql.DB }

func openOrders(ctx context.Context, dir string) (*orders, error) {
	const pragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	path := filepath.Join(dir, "orders.db")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, ordersSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return &orders{db}, nil
}

// place writes an order with its tracking. Where an order takes several
// statements, they are one transaction.
func (o *orders) place(ctx context.Context, item string, t sparkloop.Tracking) (id int64, err error) {
	result, err := o.db.ExecContext(ctx, `INSERT INTO orders (item, tracking, paid_at) VALUES (?, ?, ?)`,
		item, t, time.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// trackings is the queue's Source: what should have been confirmed, from the
// orders themselves.
func (o *orders) trackings(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error) {
	rows, err := o.db.QueryContext(ctx,
		`SELECT tracking FROM orders WHERE tracking IS NOT NULL AND paid_at >= ?`, since.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has said it
	var all []sparkloop.Tracking
	for rows.Next() {
		var t sparkloop.Tracking
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}
