package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// shop is what buyers see.
type shop struct {
	orders  *orders
	queue   outbox.Queue
	capture *capture.Capture
	log     *slog.Logger
}

// handler has capture around every page: an offer may link to any of them.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /buy", s.buy)
	return http.NewCrossOriginProtection().Handler(s.capture.Handler(mux))
}

const homePage = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Shop</title><style>body{font:1.1em sans-serif;max-width:30em;margin:3em auto;padding:0 1em}button{font:inherit;padding:.4em 1em}</style>
<h1>Shop</h1><form method="post" action="/buy"><button name="item" value="notebook">Buy the notebook</button></form>
`

func (s *shop) home(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, homePage) }

// buy commits the order with the tracking in its row, then enqueues the
// conversion. The buyer waits for two databases, never for SparkLoop.
func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
	tracking, tracked := capture.FromContext(ctx)
	id, err := s.orders.place(ctx, r.FormValue("item"), tracking)
	if err != nil {
		s.log.ErrorContext(ctx, "no order", "error", err)
		http.Error(w, "Something went wrong here. Please try again.", http.StatusInternalServerError)
		return
	}
	if err := s.queue.Enqueue(ctx, tracking); err != nil {
		// The order stands, and the next sweep of Source finds it.
		s.log.ErrorContext(ctx, "not enqueued", "order", id, "error", err)
	}
	if tracked {
		s.capture.Clear(w, r, tracking.Offer) // the next click counts again
	}
	fmt.Fprintf(w, "Thank you! Your order has the number %d.\n", id)
}
