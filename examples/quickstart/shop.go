package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// shop is a small merchant's site: the part of this example to copy. Its users
// live in a map; where yours live in a table, Tracking is a text column.
type shop struct {
	sparkloop *sparkloop.Client

	mu    sync.Mutex
	users map[string]sparkloop.Tracking // by email

	// The story's ears. A shop of yours has a log instead.
	onCapture func(sparkloop.Tracking)
	onConfirm func(*sparkloop.Confirmation, error)
}

const cookieName = "sparkloop"

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", s.land)
	mux.HandleFunc("POST /signup", s.signUp)
	mux.HandleFunc("POST /buy", s.buy)
	return mux
}

// land is where SparkLoop sends the reader. The two ids are in the URL now and
// nowhere after this, so they go into a cookie.
func (s *shop) land(w http.ResponseWriter, r *http.Request) {
	tracking, err := sparkloop.TrackingFromRequest(r)
	if err != nil {
		return // a visitor who did not come through SparkLoop
	}
	s.onCapture(tracking)
	w.Header().Set("Cache-Control", "private, no-store")
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS
		Name: cookieName, Value: tracking.Encode(), Path: "/", Expires: tracking.ExpiresAt(),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil, // this example is plain http on loopback
	})
}

// signUp keeps the tracking with the user: a cookie does not follow a person
// from the phone to the laptop.
func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[r.FormValue("email")] = fromCookie(r)
	w.WriteHeader(http.StatusCreated)
}

// buy takes the order and confirms the conversion. SparkLoop's troubles are not
// the buyer's: the order stands, whatever comes of the confirmation.
func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	kept := s.users[r.FormValue("email")]
	s.mu.Unlock()
	tracking := sparkloop.FirstLive(kept, fromCookie(r))
	if tracking.IsZero() {
		return
	}
	// Also when the buyer closes the page, but not for longer than this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	s.onConfirm(s.sparkloop.Conversions.Confirm(ctx, tracking))
}

func fromCookie(r *http.Request) sparkloop.Tracking {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return sparkloop.Tracking{}
	}
	tracking, err := sparkloop.DecodeTracking(cookie.Value)
	if err != nil {
		return sparkloop.Tracking{} // not one that land has set
	}
	return tracking
}
