package main

import (
	"crypto/subtle"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
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

// metrics has the queue's figures for Prometheus.
func metrics(queue outbox.Queue) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(sparkloopprom.NewCollector(queue))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
