package main

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"
)

const sessionCookie = "session"

// newID returns at least 128 random bits, as 26 letters and digits.
func newID() string { return rand.Text() }

// setSession signs the browser in until it is closed. With Lax, browsers omit the
// cookie from the forms of other sites: see payment.go.
func setSession(w http.ResponseWriter, r *http.Request, id string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there may be TLS
		Name: sessionCookie, Value: id, Path: "/",
		HttpOnly: true, Secure: !plainLoopback(r), SameSite: http.SameSiteLaxMode,
	})
}

// signedIn returns the email of the signed-in user, or "".
func (s *shop) signedIn(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	email, err := s.store.session(r.Context(), c.Value)
	if err != nil && !errors.Is(err, errNoUser) {
		s.logger.Error("session not read", "error", err)
	}
	return email
}

// plainLoopback reports whether this is plain http on the own machine, where Safari
// stores no Secure cookie.
func plainLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return r.TLS == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
