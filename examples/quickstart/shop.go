package main

import (
	"context"
	"log"
	"net/http"
	"sync"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// shop is a small merchant's site: the part of this example to copy. Its users
// live in a map; where yours live in a table, Tracking is a text column.
type shop struct {
	queue   outbox.Queue
	capture *capture.Capture

	mu    sync.Mutex
	users map[string]sparkloop.Tracking // by email
}

// handler has the middleware around everything: it keeps what a redirect
// brings, and hands it to every handler in the request's context.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(http.ResponseWriter, *http.Request) {}) // your landing page
	mux.HandleFunc("POST /signup", s.signUp)
	mux.HandleFunc("POST /buy", s.buy)
	return s.capture.Handler(mux)
}

// signUp keeps the tracking with the user: a cookie does not follow a person
// from the phone to the laptop.
func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	tracking, _ := capture.FromContext(r.Context()) // zero if there is none
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[r.FormValue("email")] = tracking
	w.WriteHeader(http.StatusCreated)
}

// buy takes the order, and puts the conversion into the queue. SparkLoop's
// troubles are not the buyer's: nobody waits for it here.
func (s *shop) buy(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	kept := s.users[r.FormValue("email")]
	s.mu.Unlock()
	fromCookie, _ := capture.FromContext(r.Context())
	tracking := sparkloop.FirstLive(kept, fromCookie)
	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
	if err := s.queue.Enqueue(ctx, tracking); err != nil {
		log.Print(err) // a full disk, say; the order stands
	}
}
