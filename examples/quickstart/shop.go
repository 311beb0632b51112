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

// shop is a small merchant's site.
type shop struct {
	queue   outbox.Queue
	capture *capture.Capture

	mu    sync.Mutex
	users map[string]user // by email
}

// user is a row of your users table. In SQL, Tracking is a text column.
type user struct {
	Tracking sparkloop.Tracking
}

// handler puts the middleware around every page: an offer may link to any of
// them. The middleware stores the IDs of the landing URL in a cookie.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(http.ResponseWriter, *http.Request) {}) // your landing page
	mux.HandleFunc("POST /signup", s.signUp)
	mux.HandleFunc("POST /buy", s.buy)
	return s.capture.Handler(mux)
}

// signUp stores the tracking with the user. A cookie does not follow a person
// from the phone to the laptop.
func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	fromCookie, _ := capture.FromContext(r.Context()) // zero without a click
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[r.FormValue("email")] = user{Tracking: fromCookie}
}

// buy takes the order, then stores the conversion in the queue. The buyer does
// not wait for SparkLoop.
func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	user := s.user(r.FormValue("email"))
	fromCookie, _ := capture.FromContext(r.Context())
	tracking, err := outbox.FirstNew(r.Context(), s.queue, user.Tracking, fromCookie)
	if err != nil {
		log.Print(err) // tracking is then the first live one
	}
	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
	if err := s.queue.Enqueue(ctx, tracking); err != nil {
		log.Print(err) // the disk is full, for example; the order stands
		return
	}
	s.capture.Clear(w, r, tracking.Offer) // the next click counts again
}

func (s *shop) user(email string) user {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[email]
}
