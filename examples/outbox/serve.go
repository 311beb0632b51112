package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

// program is all that one process has open.
type program struct {
	orders  *orders
	queue   *sqliteoutbox.Outbox
	handler http.Handler
}

// open opens in the order in which things need each other: Source asks the
// orders, the shop's handlers need both.
func open(ctx context.Context, dir string, client *sparkloop.Client, password string, o outbox.Options) (*program, error) {
	orders, err := openOrders(ctx, dir)
	if err != nil {
		return nil, err
	}
	o.Source = orders.trackings
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), client, o)
	if err != nil {
		return nil, errors.Join(err, orders.db.Close())
	}
	p := &program{orders: orders, queue: queue}
	keep, err := capture.New(capture.Options{})
	if err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	shop := &shop{orders: orders, queue: queue, capture: keep, log: o.Logger}
	mux := http.NewServeMux()
	mux.Handle("/", shop.handler())
	mux.Handle("/status", signedIn(password, outbox.StatusHandler(queue)))
	mux.Handle("/metrics", signedIn(password, metrics(queue)))
	p.handler = mux
	return p, nil
}

// closeMax bounds the shutdown. A supervisor must leave this much time between
// asking a process to end and killing it; where it kills earlier, nothing that
// was enqueued is lost.
const closeMax = 25 * time.Second

// serve serves until ctx ends, then closes everything.
func (p *program) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: p.handler, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
	defer cancel()
	// First the handlers, which enqueue; then the queue, whose Source asks the
	// database; the database last.
	return errors.Join(err, server.Shutdown(end), p.queue.Close(end), p.orders.db.Close())
}

// close is for a program that does not serve.
func (p *program) close(ctx context.Context) error {
	return errors.Join(p.queue.Close(ctx), p.orders.db.Close())
}
