package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// ordersSchema stores the tracking in the order's row. It is NULL for a buyer
// who did not come through SparkLoop. paid_at is NULL until the order is paid,
// refunded_at until it is refunded. Times are in milliseconds.
const ordersSchema = `
CREATE TABLE IF NOT EXISTS orders (
	id          INTEGER PRIMARY KEY,
	item        TEXT NOT NULL,
	tracking    VARCHAR(277),
	paid_at     BIGINT,
	refunded_at BIGINT
);
CREATE INDEX IF NOT EXISTS orders_paid_at ON orders (paid_at);`

// shop is what buyers see. The queue cannot join a transaction of db.
type shop struct {
	db      *sql.DB
	queue   outbox.Queue
	capture *capture.Capture
	log     *slog.Logger
}

// handler puts capture around every page: an offer may link to any of them.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>Shop</title><form method="post" action="/buy"><button name="item" value="notebook">Buy the notebook</button></form>`)
	})
	mux.HandleFunc("POST /buy", s.buy)
	return http.NewCrossOriginProtection().Handler(s.capture.Handler(mux))
}

// buy commits the order with its tracking, then enqueues the conversion. The
// buyer waits for two databases, never for SparkLoop.
func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
	// A shop with accounts passes the user's tracking first.
	tracking, err := outbox.FirstNew(ctx, s.queue, capture.All(ctx)...)
	if err != nil {
		s.log.ErrorContext(ctx, "look into the queue", "error", err) // tracking is then the first live one
	}
	id, err := place(ctx, s.db, r.FormValue("item"), tracking)
	if err != nil {
		s.log.ErrorContext(ctx, "no order", "error", err)
		http.Error(w, "Something went wrong here. Please try again.", http.StatusInternalServerError)
		return
	}
	if err := s.queue.Enqueue(ctx, tracking); err != nil {
		// The order stands, and the next sweep of Source finds it.
		s.log.ErrorContext(ctx, "not enqueued", "order", id, "error", err)
	}
	s.capture.Clear(w, r, tracking.Offer) // the next click counts again
	fmt.Fprintf(w, "Thank you! Your order has the number %d.\n", id)
}

// place stores a paid order with its tracking.
func place(ctx context.Context, db *sql.DB, item string, t sparkloop.Tracking) (id int64, err error) {
	result, err := db.ExecContext(ctx, `INSERT INTO orders (item, tracking, paid_at) VALUES (?, ?, ?)`,
		item, t, time.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// trackings is the queue's Source. It returns the trackings of the orders paid
// since that time, without those that were refunded.
func (s *shop) trackings(ctx context.Context, since time.Time) (all []sparkloop.Tracking, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT tracking FROM orders
		WHERE tracking IS NOT NULL AND paid_at >= ? AND refunded_at IS NULL`, since.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	for rows.Next() {
		var t sparkloop.Tracking
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}
