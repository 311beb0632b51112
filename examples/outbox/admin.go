package main

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// signedIn stands for the application's own sign-in, which the status page needs:
// it shows offers, submissions and what was said about them.
func signedIn(password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if password == "" || subtle.ConstantTimeCompare([]byte(given), []byte(password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="admin"`)
			http.Error(w, "Please sign in.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// metrics gives a queue's figures to Prometheus, in its text format. All are
// gauges.
func metrics(queue outbox.Queue) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, err := queue.Stats(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		seconds := func(since time.Time) float64 {
			if since.IsZero() {
				return 0
			}
			return s.Time.Sub(since).Seconds()
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fmt.Fprintf(w, "sparkloop_pending %d\n", s.Pending)
		fmt.Fprintf(w, "sparkloop_confirmed %d\n", s.Confirmed)
		fmt.Fprintf(w, "sparkloop_dead %d\n", s.Dead)
		fmt.Fprintf(w, "sparkloop_expired %d\n", s.Expired)
		fmt.Fprintf(w, "sparkloop_swept %d\n", s.Swept)
		fmt.Fprintf(w, "sparkloop_oldest_pending_seconds %.0f\n", seconds(s.OldestPending))
		fmt.Fprintf(w, "sparkloop_paused_seconds %.0f\n", seconds(s.PausedSince))
	}
}
