// Command minimal is the README's program: a site that captures a reader who
// comes through SparkLoop, and has the conversion confirmed when the reader buys.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
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
	keep, err := capture.New(capture.Options{})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: site(queue, keep), ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// site captures on every page: the offer may link to any of them.
func site(queue outbox.Queue, keep *capture.Capture) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Welcome!") })
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		tracking, ok := capture.FromContext(r.Context())
		if !ok {
			return // this buyer did not come through SparkLoop
		}
		ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
		if err := queue.Enqueue(ctx, tracking); err != nil {
			log.Print(err) // nothing was stored: the disk is full, for example
			return
		}
		keep.Clear(w, r, tracking.Offer) // the next click counts again
	})
	return keep.Handler(mux)
}
