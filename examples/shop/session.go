package main

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"
)

const sessionCookie = "session"

// newID is 128 random bits or more as 26 letters and digits: nobody guesses one.
func newID() string { return rand.Text() }

// setSession signs the browser in until it is closed. Lax keeps the cookie from
// the forms of other sites; payment.go lives with that.
func setSession(w http.ResponseWriter, r *http.Request, id string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there may be TLS
		Name: sessionCookie, Value: id, Path: "/",
		HttpOnly: true, Secure: !plainLoopback(r), SameSite: http.SameSiteLaxMode,
	})
}

// signedIn is the email of who is signed in, or "".
func (s *shop) signedIn(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	email, err := s.store.session(r.Context(), c.Value)
	if err != nil && !errors.Is(err, errNoUser) {
		s.logger.Error("a session was not found", "error", err)
	}
	return email
}

// plainLoopback says whether this is http on the own machine, where Safari
// keeps no Secure cookie. Behind a proxy that ends TLS it is not.
func plainLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return r.TLS == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
