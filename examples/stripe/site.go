package main

import (
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// site is the shop that browsers see. Its database is in memory.
type site struct {
	base    string // its own URL, where Stripe sends buyers back to
	keep    *capture.Capture
	stripe  *stripe.Client
	queue   outbox.Queue
	rows    *memory
	webhook http.Handler
	log     *slog.Logger
}

const trialDays = 14

const home = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Shop</title><style>body{font:1.1em sans-serif;max-width:30em;margin:3em auto;padding:0 1em}input,button{font:inherit;padding:.4em}</style>
<h1>Shop</h1>
<form method="post" action="/checkout"><p><input name="email" type="email" required placeholder="you@example.com"></p>
<p><button name="plan" value="trial">Try the magazine, 14 days free</button> <button name="plan" value="book">Buy the book</button></p></form>
`

func (s *site) handler() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { s.page(w, home) })
	pages.HandleFunc("POST /checkout", s.checkout)
	pages.HandleFunc("GET /thanks", s.thanks)

	mux := http.NewServeMux()
	mux.Handle("/webhook", s.webhook)
	mux.Handle("/", s.keep.Handler(pages))
	return mux
}

// checkout signs the visitor up and sends the browser to Stripe. The tracking goes
// from the cookie into the user's row and the payment's metadata.
func (s *site) checkout(w http.ResponseWriter, r *http.Request) {
	email := r.PostFormValue("email")
	if !strings.Contains(email, "@") {
		http.Error(w, "Please enter an email address.", http.StatusBadRequest)
		return
	}
	user, kept := s.rows.user(email)
	fromCookie, _ := capture.FromContext(r.Context())
	tracking, err := outbox.FirstNew(r.Context(), s.queue, kept, fromCookie)
	if err != nil {
		s.log.ErrorContext(r.Context(), "look into the queue", "error", err) // tracking is then the first live one
	}
	s.rows.keep(user, tracking)
	p := purchase{user: user, email: email, tracking: tracking}
	if r.PostFormValue("plan") == "trial" {
		p.trialDays = trialDays
	}
	created, err := s.stripe.V1CheckoutSessions.Create(r.Context(), sessionParams(p, s.base))
	if err != nil {
		s.log.ErrorContext(r.Context(), "no checkout session", "error", err)
		http.Error(w, "Stripe does not answer. Please try again.", http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, created.URL, http.StatusSeeOther)
}

// thanks is the page that Stripe sends the buyer back to. Never confirm here: a
// buyer who closes the browser never sees it, and anybody can open it. If the
// webhook came first, the order's click is cleared from the cookie. A newer click
// stays.
func (s *site) thanks(w http.ResponseWriter, r *http.Request) {
	if o, ok := s.rows.order(r.FormValue("session_id")); ok && o.settled {
		kept, _ := capture.ForOffer(r.Context(), o.tracking.Offer)
		if !kept.IsZero() && kept.Key() == o.tracking.Key() {
			s.keep.Clear(w, r, o.tracking.Offer)
		}
	}
	s.page(w, "<!doctype html><title>Thank you</title><h1>Thank you!</h1>\n")
}

func (s *site) page(w http.ResponseWriter, html string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, html) //nolint:errcheck // the visitor has left
}
