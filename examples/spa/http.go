package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
)

// cors lets scripts on one origin call the API with cookies. The origin is
// exact: with credentials, browsers ignore "*".
func cors(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if r.Header.Get("Origin") == origin {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Content-Type") // application/json
			h.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const (
	sessionCookie = "session"
	consentCookie = "consent"

	maxBody = 64 << 10
)

// setCookie sets a cookie that the page's scripts cannot read. Lax is enough:
// page and API are one site. maxAge is in seconds; 0 is until the browser closes.
func setCookie(w http.ResponseWriter, r *http.Request, name, value string, maxAge int) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	// Safari stores no Secure cookie of plain http, not even on loopback.
	plain := r.TLS == nil && net.ParseIP(host).IsLoopback()
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there may be TLS
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: !plain, SameSite: http.SameSiteLaxMode,
	})
}

// consent is the visitor's answer: "yes", "no", or "" if there is none.
func consent(r *http.Request) string {
	c, err := r.Cookie(consentCookie)
	if err != nil || c.Value != "yes" && c.Value != "no" {
		return ""
	}
	return c.Value
}

// signedIn is the email of the signed-in user, or "".
func (a *api) signedIn(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	email, err := a.store.session(r.Context(), c.Value)
	if err != nil && !errors.Is(err, errNotFound) {
		a.logger.Error("session not read", "error", err)
	}
	return email
}

// read decodes the body, or refuses the request.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into)
	if err != nil {
		refuse(w, http.StatusBadRequest, "The body is not the JSON that this address takes.")
	}
	return err == nil
}

func refuse(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"error": text})
}

func reply(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store") // answers are about one visitor
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer) //nolint:errcheck // the visitor has left
}
