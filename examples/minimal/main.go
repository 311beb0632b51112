// Command minimal is the program of the README: a site that captures visitors from
// SparkLoop, and has the conversion confirmed when a visitor buys.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

func main() {
	client, err := sparkloop.New(os.Getenv("SPARKLOOP_API_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	queue, err := sqliteoutbox.Open(context.Background(), "sparkloop.db", client, outbox.Options{})
	if err != nil {
		log.Fatal(err)
	}
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: site(queue, keep), ReadTimeout: 10 * time.Second}
	go func() { log.Print(server.ListenAndServe()) }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	if err := errors.Join(server.Shutdown(ctx), queue.Close(ctx)); err != nil { // first the handlers, then the queue
		log.Print(err)
	}
}

// site captures on every page: an offer may link to any of them.
func site(queue outbox.Queue, keep *capture.Capture) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Welcome!") })
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
		tracking, err := outbox.FirstNew(ctx, queue, capture.All(ctx)...)
		if err != nil {
			log.Print(err) // the tracking is the first live one
		}
		if err := queue.Enqueue(ctx, tracking); err != nil { // without a tracking: nothing to do
			log.Print(err) // nothing was stored: the disk is full, for example
			return
		}
		keep.Clear(w, r, tracking.Offer) // the next click counts again
	})
	return keep.Handler(mux)
}
