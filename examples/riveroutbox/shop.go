package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
)

// ordersSchema stores the tracking in the order's row. It is NULL for a buyer
// who did not come through SparkLoop. The lock is for processes that start at the
// same time.
const ordersSchema = `
SELECT pg_advisory_xact_lock(7263548190);
CREATE SCHEMA IF NOT EXISTS ` + shopSchema + `;
CREATE TABLE IF NOT EXISTS ` + shopSchema + `.orders (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tracking    text,
	paid_at     timestamptz,
	refunded_at timestamptz
);
CREATE INDEX IF NOT EXISTS orders_paid_at ON ` + shopSchema + `.orders (paid_at)`

// shop is what buyers see.
type shop struct {
	pool    *pgxpool.Pool
	queue   *riveroutbox.Outbox
	capture *capture.Capture
	log     *slog.Logger
}

// handler puts capture around every page: an offer may link to any of them.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Welcome!") })
	mux.HandleFunc("POST /buy", s.buy)
	return http.NewCrossOriginProtection().Handler(s.capture.Handler(mux))
}

func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
	// A shop with accounts passes the user's tracking first.
	tracking, err := outbox.FirstNew(ctx, s.queue, capture.All(ctx)...)
	if err != nil {
		s.log.ErrorContext(ctx, "look into the queue", "error", err) // tracking is then the first live one
	}
	id, err := s.place(ctx, r.FormValue("card"), tracking)
	switch {
	case errors.Is(err, errDeclined):
		http.Error(w, "Your card was declined.", http.StatusPaymentRequired)
		return
	case err != nil:
		s.log.ErrorContext(ctx, "no order", "error", err)
		http.Error(w, "Something went wrong here. Please try again.", http.StatusInternalServerError)
		return
	}
	s.capture.Clear(w, r, tracking.Offer) // the next click counts again
	fmt.Fprintf(w, "Thank you! Your order has the number %d.\n", id)
}

var errDeclined = errors.New("the card was declined")

// place stores the paid order and its conversion in one transaction. With a
// savepoint, a failed EnqueueTx does not abort the order. The worker's Source
// finds the conversion later.
func (s *shop) place(ctx context.Context, card string, tracking sparkloop.Tracking) (id int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		const insert = `INSERT INTO ` + shopSchema + `.orders (tracking, paid_at) VALUES ($1, now()) RETURNING id`
		if err := tx.QueryRow(ctx, insert, tracking).Scan(&id); err != nil {
			return err
		}
		err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
			return s.queue.EnqueueTx(ctx, savepoint, tracking)
		})
		if err != nil {
			s.log.ErrorContext(ctx, "not enqueued", "order", id, "error", err)
		}
		if card == "declined" {
			return errDeclined // rolls back both
		}
		return nil
	})
	return id, err
}

// trackings returns the worker's Source: the trackings of the orders paid since
// that time, without those that were refunded.
func trackings(pool *pgxpool.Pool) func(context.Context, time.Time) ([]sparkloop.Tracking, error) {
	return func(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error) {
		rows, err := pool.Query(ctx, `SELECT tracking FROM `+shopSchema+`.orders
			WHERE tracking IS NOT NULL AND paid_at >= $1 AND refunded_at IS NULL`, since)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[sparkloop.Tracking])
	}
}
