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

// config is what a shop is made of.
type config struct {
	store         *store
	logger        *slog.Logger
	consent       bool   // ask before the tracking cookie is set
	domain        string // shares that cookie with subdomains
	paymentSecret string // empty: no callbacks from a payment site
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
		CleanURL:  true, // no ids in bookmarks
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

// handler puts the middleware around all pages: readers land on any of them,
// and what they brought is asked for on others.
//
// Against forms from other sites there are two things: the session cookie is
// SameSite=Lax, so such a form is nobody's, and CrossOriginProtection refuses
// it before it comes to that.
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

// clicked notes a click for the status page. It may fail: the cookie is what
// counts.
func (s *shop) clicked(r *http.Request, t sparkloop.Tracking) {
	if err := s.store.addClick(context.WithoutCancel(r.Context()), t); err != nil {
		s.logger.Error("a click was not noted", "error", err)
	}
}

// cookie is the tracking that the browser brings: of several offers the one
// that was clicked last. A shop with one offer asks for it by its id, with
// capture.ForOffer.
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

// signUpPage is the form, and what was wrong with it.
type signUpPage struct{ Email, Problem string }

// signUp takes the tracking from the cookie to the user's row: the purchase may
// come from another browser, or by a callback that brings no cookie. This demo
// asks for no password; a real shop does, and calls the same at each sign-in.
func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	email := strings.ToLower(strings.TrimSpace(r.PostFormValue("email")))
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email {
		s.render(w, r, http.StatusUnprocessableEntity, "signup", signUpPage{email, "That is no email address. It should look like reader@example.com."})
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

// checkoutPage carries the order's id, so that the same form sent twice is one
// order.
type checkoutPage struct{ Order string }

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	if s.signedIn(r) == "" {
		http.Redirect(w, r, "/signup", http.StatusSeeOther)
		return
	}
	s.render(w, r, http.StatusOK, "checkout", checkoutPage{newID()})
}

// buy is the purchase; the payment is left out. SparkLoop's troubles are not the
// buyer's: nobody waits for it here.
func (s *shop) buy(w http.ResponseWriter, r *http.Request) {
	email, id := s.signedIn(r), r.PostFormValue("order")
	if email == "" {
		http.Redirect(w, r, "/signup", http.StatusSeeOther)
		return
	}
	if len(id) != len(newID()) {
		http.Error(w, "This form is not ours.", http.StatusBadRequest)
		return
	}
	s.purchase(w, r, id, email)
}

// purchase places the order, and its conversion with it, also when the buyer
// closes the page: r.Context() would end with it.
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

// thanks also lets go of the cookie's tracking, which the queue has now, so that
// the reader's next click on the offer counts. It is done here and not in
// purchase, for a callback from another site comes without that cookie.
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

// fail is for what is wrong on this side. The visitor need not know more.
func (s *shop) fail(w http.ResponseWriter, err error) {
	s.logger.Error("a page failed", "error", err)
	http.Error(w, "Something went wrong here. Please try again.", http.StatusInternalServerError)
}
