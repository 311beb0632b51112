package main

import (
	"net/http"

	"github.com/sparkloop-go/sparkloop"
)

const consentCookie = "consent"

// consented is capture.Options.Allow: it reports whether the tracking cookie may be
// set.
func consented(r *http.Request) bool {
	c, err := r.Cookie(consentCookie)
	return err == nil && c.Value == "yes"
}

// banner is the form on the landing page. Until the answer, nothing about the click
// is stored: the tracking is in the URL, in this request's context, and in this
// form. A visitor who opens another page first is not captured.
type banner struct {
	Ask      bool
	Tracking string
}

func (s *shop) banner(r *http.Request) banner {
	_, err := r.Cookie(consentCookie)
	return banner{Ask: s.consent && err != nil, Tracking: cookie(r).Encode()}
}

// giveConsent stores the answer for half a year and, after a yes, the tracking in
// the form.
func (s *shop) giveConsent(w http.ResponseWriter, r *http.Request) {
	answer := "no"
	if r.PostFormValue("answer") == "yes" {
		answer = "yes"
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there may be TLS
		Name: consentCookie, Value: answer, Path: "/", MaxAge: 180 * 24 * 60 * 60,
		HttpOnly: true, Secure: !plainLoopback(r), SameSite: http.SameSiteLaxMode,
	})
	if t, err := sparkloop.DecodeTracking(r.PostFormValue("tracking")); err == nil && answer == "yes" {
		if err := s.capture.Save(w, r, t); err != nil {
			s.logger.Warn("click not stored", "error", err) // older than 45 days
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
