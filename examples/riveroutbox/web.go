package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
)

// shop is what buyers see. Its process delivers nothing.
type shop struct {
	pool    *pgxpool.Pool
	queue   *riveroutbox.Outbox
	capture *capture.Capture
	log     *slog.Logger
}

// closeMax bounds the shutdown of a process.
const closeMax = 25 * time.Second

// serve serves the shop until ctx ends.
func serve(ctx context.Context, pool *pgxpool.Pool, client *sparkloop.Client, addr string, out io.Writer) error {
	log := slog.New(slog.NewTextHandler(out, nil))
	queue, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{
		Options: outbox.Options{Workers: -1, Logger: log}, // another process delivers
		Schema:  outboxSchema,
	})
	if err != nil {
		return err
	}
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &shop{pool, queue, keep, log}
	server := &http.Server{Handler: s.handler(), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	fmt.Fprintf(out, "http://%s/\n", listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
	defer cancel()
	return errors.Join(err, server.Shutdown(end), queue.Close(end)) // and then the pool
}

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Welcome!") })
	mux.HandleFunc("POST /buy", s.buy)
	return http.NewCrossOriginProtection().Handler(s.capture.Handler(mux))
}

func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
	tracking, err := outbox.FirstNew(ctx, s.queue, capture.All(ctx)...)
	if err != nil {
		s.log.ErrorContext(ctx, "tracking not looked up", "error", err) // it is usable
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
	if !tracking.IsZero() {
		s.capture.Clear(w, r, tracking.Offer) // the next click counts again
	}
	fmt.Fprintf(w, "Thank you! Your order has the number %d.\n", id)
}

var errDeclined = errors.New("the card was declined")

// place writes the order and its conversion in one transaction: there is never
// one without the other. The savepoint saves the order if EnqueueTx fails all the
// same; the conversion is then found by the worker's Source.
func (s *shop) place(ctx context.Context, card string, tracking sparkloop.Tracking) (id int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if id, err = insertOrder(ctx, tx, tracking); err != nil {
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
