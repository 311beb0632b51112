package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/mail"
	"net/url"
	"strings"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// config is what a shop needs.
type config struct {
	store         *store
	logger        *slog.Logger
	consent       bool   // ask before the tracking cookie is set
	domain        string // shares that cookie with subdomains
	paymentSecret string // shared with the payment site; empty: no callbacks
}

// shop is the web site.
type shop struct {
	config

	capture *capture.Capture
	pages   *pages
}

func newShop(c config) (*shop, error) {
	s := &shop{config: c}
	opts := capture.Options{
		Domain:    c.domain,
		CleanURL:  true, // no IDs in bookmarks
		OnCapture: s.clicked,
		Enqueued:  outbox.Enqueued(c.store.queue),
		Logger:    c.logger,
		Now:       c.store.now,
	}
	if c.consent {
		opts.Allow = consented
	}
	var err error
	if s.capture, err = capture.New(opts); err != nil {
		return nil, err
	}
	s.pages, err = parsePages()
	return s, err
}

// handler puts the middleware around all pages: an offer may link to any of them.
//
// Two things protect against forms from other sites. CrossOriginProtection rejects
// them, and the session cookie is SameSite=Lax, so browsers omit it.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.landing)
	mux.HandleFunc("GET /signup", s.signUpForm)
	mux.HandleFunc("POST /signup", s.signUp)
	mux.HandleFunc("GET /checkout", s.checkout)
	mux.HandleFunc("POST /checkout", s.buy)
	mux.HandleFunc("GET /thanks", s.thanks)
	mux.HandleFunc("GET /status", s.status)
	mux.Handle("GET /static/", staticFiles())
	if s.consent {
		mux.HandleFunc("POST /consent", s.giveConsent)
	}
	csrf := http.NewCrossOriginProtection()
	if s.paymentSecret != "" {
		mux.HandleFunc("POST /payment", s.paid)
		csrf.AddInsecureBypassPattern("POST /payment") // it is signed
	}
	return http.MaxBytesHandler(secured(csrf.Handler(s.capture.Handler(mux))), 64<<10)
}

// clicked stores a click for the status page. The cookie does not depend on it.
func (s *shop) clicked(r *http.Request, t sparkloop.Tracking) {
	if err := s.store.addClick(context.WithoutCancel(r.Context()), t); err != nil {
		s.logger.Error("click not stored for the status page", "error", err)
	}
}

// cookie returns the tracking in the browser's cookie: the newest of several
// offers. capture.ForOffer returns that of one offer.
func cookie(r *http.Request) sparkloop.Tracking {
	t, _ := capture.FromContext(r.Context())
	return t
}

func (s *shop) landing(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "landing", s.banner(r))
}

func (s *shop) signUpForm(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "signup", signUpPage{})
}

// signUpPage is the form and its error.
type signUpPage struct{ Email, Problem string }

// signUp copies the tracking from the cookie to the user's row: the purchase may
// come from another browser, or by a callback without the cookie. This demo asks
// for no password. A real shop does, and calls the same function at each sign-in.
func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	email := strings.ToLower(strings.TrimSpace(r.PostFormValue("email")))
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email {
		s.render(w, r, http.StatusUnprocessableEntity, "signup", signUpPage{email, "Enter an email address like reader@example.com."})
		return
	}
	session, err := s.store.signUp(r.Context(), email, cookie(r))
	if err != nil {
		s.fail(w, err)
		return
	}
	setSession(w, r, session)
	http.Redirect(w, r, "/checkout", http.StatusSeeOther)
}

// checkoutPage has the order's ID: a form that is sent twice is one order.
type checkoutPage struct{ Order string }

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	if s.signedIn(r) == "" {
		http.Redirect(w, r, "/signup", http.StatusSeeOther)
		return
	}
	s.render(w, r, http.StatusOK, "checkout", checkoutPage{newID()})
}

// buy is the purchase, without a payment. It does not wait for SparkLoop.
func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	email, id := s.signedIn(r), r.PostFormValue("order")
	if email == "" {
		http.Redirect(w, r, "/signup", http.StatusSeeOther)
		return
	}
	if len(id) != len(newID()) {
		http.Error(w, "The form has no valid order ID.", http.StatusBadRequest)
		return
	}
	s.purchase(w, r, id, email)
}

// purchase places the order and its conversion. r.Context() ends if the buyer closes
// the page, so it is not used.
func (s *shop) purchase(w http.ResponseWriter, r *http.Request, id, email string) {
	o, err := s.store.placeOrder(context.WithoutCancel(r.Context()), id, email, cookie(r))
	switch {
	case errors.Is(err, errNoUser), errors.Is(err, errNotTheirs):
		http.Error(w, "There is no such purchase.", http.StatusConflict)
		return
	case err != nil:
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/thanks?order="+url.QueryEscape(o.ID), http.StatusSeeOther)
}

// thanks also clears the cookie's tracking, which is in the queue now, so that the
// reader's next click on the offer counts. purchase cannot do it: a callback from
// another site comes without the cookie.
func (s *shop) thanks(w http.ResponseWriter, r *http.Request) {
	o, err := s.store.order(r.Context(), r.FormValue("order"))
	switch {
	case errors.Is(err, errNoOrder):
		http.NotFound(w, r)
		return
	case err != nil:
		s.fail(w, err)
		return
	}
	kept, _ := capture.ForOffer(r.Context(), o.Tracking.Offer)
	if !kept.IsZero() && kept.Key() == o.Tracking.Key() { // not a later click
		s.capture.Clear(w, r, o.Tracking.Offer)
	}
	s.render(w, r, http.StatusOK, "thanks", o)
}

// fail is for errors of this side. The visitor does not see the reason.
func (s *shop) fail(w http.ResponseWriter, err error) {
	s.logger.Error("page failed", "error", err)
	http.Error(w, "Something went wrong here. Please try again.", http.StatusInternalServerError)
}
