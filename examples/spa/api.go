package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/mail"
	"strings"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// config is what the API needs.
type config struct {
	store  *store
	page   string // the origin of the page: "https://app.example.com"
	pay    string // the payment site's page
	secret string // shared with the payment site
	logger *slog.Logger
}

// api serves JSON to the page. All cookies belong to the API's own host: the
// session, the consent, and the tracking.
type api struct {
	config

	keep *capture.Capture
	csrf *http.CrossOriginProtection
}

func newAPI(c config) (*api, error) {
	keep, err := capture.New(capture.Options{
		Allow:    func(r *http.Request) bool { return consent(r) == "yes" },
		Enqueued: outbox.Enqueued(c.store.queue),
		Logger:   c.logger,
	})
	if err != nil {
		return nil, err
	}
	csrf := http.NewCrossOriginProtection() // the page is another origin, and trusted
	return &api{c, keep, csrf}, csrf.AddTrustedOrigin(c.page)
}

// handler puts CORS outermost, so that errors of the inner handlers are readable
// too and preflight requests end there.
func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /visit", a.visit)
	mux.HandleFunc("POST /consent", a.giveConsent)
	mux.HandleFunc("POST /signup", a.signUp)
	mux.HandleFunc("POST /orders", a.order)
	mux.HandleFunc("GET /orders/{id}", a.showOrder)
	mux.HandleFunc("POST /payments", a.paid)
	return cors(a.page, a.csrf.Handler(a.keep.Handler(mux)))
}

// visit answers the page's first call, which has the query of the landing page.
// The middleware has read it. Without an answer about consent, nothing is stored:
// the page keeps the tracking in memory and sends it to giveConsent.
func (a *api) visit(w http.ResponseWriter, r *http.Request) {
	var answer struct {
		Consent  string             `json:"consent"` // "yes", "no", or "" if not answered
		Email    string             `json:"email"`   // "" if not signed in
		Tracking sparkloop.Tracking `json:"tracking,omitzero"`
	}
	answer.Consent, answer.Email = consent(r), a.signedIn(r)
	if answer.Consent == "" {
		answer.Tracking, _ = capture.FromContext(r.Context())
	}
	reply(w, http.StatusOK, answer)
}

// giveConsent stores the answer and, after a yes, the tracking.
func (a *api) giveConsent(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Answer   string             `json:"answer"`
		Tracking sparkloop.Tracking `json:"tracking"` // validated by its UnmarshalJSON
	}
	if !read(w, r, &in) {
		return
	}
	if in.Answer != "yes" {
		in.Answer = "no"
	}
	setCookie(w, r, consentCookie, in.Answer, 180*24*60*60)
	if in.Answer == "yes" && !in.Tracking.IsZero() {
		if err := a.keep.Save(w, r, in.Tracking); err != nil {
			a.logger.Warn("click not stored", "error", err) // older than 45 days
		}
	}
	reply(w, http.StatusOK, struct{}{})
}

// signUp copies the tracking to the user's row: the purchase may come from
// another device. This demo asks for no password; a real site does, and calls
// the same function at each sign-in.
func (a *api) signUp(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Email string `json:"email"`
	}
	if !read(w, r, &in) {
		return
	}
	email := strings.ToLower(strings.TrimSpace(in.Email))
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email {
		refuse(w, http.StatusUnprocessableEntity, "Enter an email address like reader@example.com.")
		return
	}
	tracking, err := a.tracking(r, email)
	if err != nil {
		a.fail(w, err)
		return
	}
	session, err := a.store.signUp(r.Context(), email, tracking)
	if err != nil {
		a.fail(w, err)
		return
	}
	setCookie(w, r, sessionCookie, session, 0)
	reply(w, http.StatusOK, struct{}{})
}

// tracking returns the click that the user's next purchase confirms: the row's,
// then one of the cookie's. Clicks of earlier purchases are skipped.
func (a *api) tracking(r *http.Request, email string) (sparkloop.Tracking, error) {
	row, err := a.store.tracking(r.Context(), email)
	if err != nil {
		return row, err
	}
	candidates := append([]sparkloop.Tracking{row}, capture.All(r.Context())...)
	tracking, err := outbox.FirstNew(r.Context(), a.store.queue, candidates...)
	if err != nil {
		a.logger.Error("tracking not looked up", "error", err) // it is usable
	}
	return tracking, nil
}

// order writes an unpaid order with its tracking, and sends the buyer to pay.
func (a *api) order(w http.ResponseWriter, r *http.Request) {
	email := a.signedIn(r)
	if email == "" {
		refuse(w, http.StatusUnauthorized, "Sign up first.")
		return
	}
	tracking, err := a.tracking(r, email)
	if err != nil {
		a.fail(w, err)
		return
	}
	id, err := a.store.addOrder(r.Context(), email, tracking)
	if err != nil {
		a.fail(w, err)
		return
	}
	reply(w, http.StatusCreated, map[string]string{"id": id, "pay": a.pay + "?order=" + id})
}

// paid is the payment site's webhook. It comes from a server, so without any
// cookie; the tracking is in the order's row. The browser's cookie keeps the
// click: FirstNew skips it at the next purchase.
func (a *api) paid(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	signature, _ := hex.DecodeString(r.Header.Get("X-Signature"))
	if err != nil || !hmac.Equal(signature, sign(a.secret, body)) {
		refuse(w, http.StatusForbidden, "The signature is wrong.")
		return
	}
	var in struct {
		Order string `json:"order"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		refuse(w, http.StatusBadRequest, "The body is not JSON.")
		return
	}
	// If the payment site hangs up, the work is still finished.
	switch err := a.store.pay(context.WithoutCancel(r.Context()), in.Order); {
	case errors.Is(err, errNotFound):
		refuse(w, http.StatusNotFound, "There is no such order.")
	case err != nil:
		a.fail(w, err) // a 500: the payment site sends the webhook again
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// showOrder is for the thanks page. The state of the conversion is there for the
// demo; buyers need not see it.
func (a *api) showOrder(w http.ResponseWriter, r *http.Request) {
	o, err := a.store.order(r.Context(), r.PathValue("id"))
	if errors.Is(err, errNotFound) || err == nil && o.Email != a.signedIn(r) {
		refuse(w, http.StatusNotFound, "There is no such order.")
		return
	}
	var entry outbox.Entry
	if err == nil && o.Paid {
		entry, _, err = a.store.queue.Lookup(r.Context(), o.Tracking)
	}
	if err != nil {
		a.fail(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"id": o.ID, "paid": o.Paid, "conversion": entry.State})
}

// fail is for errors of this side. The visitor does not see the reason.
func (a *api) fail(w http.ResponseWriter, err error) {
	a.logger.Error("request failed", "error", err)
	refuse(w, http.StatusInternalServerError, "Something went wrong. Please try again.")
}

// sign is the signature of a webhook's body.
func sign(secret string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}
