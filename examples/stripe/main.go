// Command stripe is a small shop that sells through Stripe Checkout. It enqueues
// SparkLoop's conversions in Stripe's webhook, because a shop learns there that
// somebody has paid.
//
// Copy webhook.go, with event.go, which reads Stripe's events, and checkout.go,
// which gives Stripe the tracking: the webhook comes without the visitor's cookie.
//
//	STRIPE_API_KEY=... STRIPE_WEBHOOK_SECRET=... SPARKLOOP_API_KEY=... go run ./examples/stripe
//
// In Stripe's test mode, stripe listen --forward-to 127.0.0.1:8080/webhook prints
// the secret and forwards the events.
//
// Which event is the conversion depends on what the offer pays for: set
// -confirm-on.
//
// checkout, the default, is for a signup, a trial or a purchase:
// checkout.session.completed with any payment_status except "unpaid" (a trial has
// "no_payment_required"), or checkout.session.async_payment_succeeded, days later.
//
// payment is for an offer that pays when money arrives, also after a trial. A
// one-time purchase confirms as above, except with "no_payment_required". A
// subscription confirms with its first invoice.paid or invoice.payment_succeeded
// whose amount_paid is above zero. billing_reason does not tell which invoice that
// is: after a trial it has subscription_cycle, like every renewal. A renewal has
// the same click as the first invoice. The queue knows it, so nothing is sent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

const home = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title><h1>Shop</h1>
<form method="post" action="/checkout"><button name="plan" value="trial">Try the magazine, 14 days free</button>
<button name="plan" value="book">Buy the book</button></form>
`

func main() {
	story.Main("stripe", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Getenv, os.Stderr) })
}

// run is the whole program. It ends with the context.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	flags := story.Flags(stderr, "stripe", "[flags]", "  STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, SPARKLOOP_API_KEY\n")
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on")
	base := flags.String("url", "http://127.0.0.1:8080", "`URL` of the shop for browsers")
	on := flags.String("confirm-on", string(onCheckout), "the conversion: checkout or payment")
	file := flags.String("queue", "sparkloop.db", "`file` of the outbox; a deployment must keep it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, name := range []string{"STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET"} {
		if getenv(name) == "" {
			return fmt.Errorf("%s is not set; see -h", name)
		}
	}
	if *on != string(onCheckout) && *on != string(onPayment) {
		return fmt.Errorf("-confirm-on is %q: it must be %s or %s", *on, onCheckout, onPayment)
	}
	client, err := story.Connect(getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	queue, err := sqliteoutbox.Open(ctx, *file, client, outbox.Options{Logger: log})
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, queue.Close(end))
	}()
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "The shop is at http://%s/, its webhook at /webhook. Ctrl-C ends it.\n", listener.Addr())
	s := &shop{queue, stripe.NewClient(getenv("STRIPE_API_KEY")), getenv("STRIPE_WEBHOOK_SECRET"), rule(*on), *base, log}
	return story.Serve(ctx, listener, s.handler(keep)) // Stripe sends again what it cuts off
}

func (s *shop) handler(keep *capture.Capture) http.Handler {
	page := func(html string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, html) //nolint:errcheck // the visitor has left
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page(home))
	mux.HandleFunc("POST /checkout", s.checkout)
	mux.HandleFunc("GET /thanks", page("<!doctype html><title>Thank you</title><h1>Thank you!</h1>\n"))
	mux.HandleFunc("POST /webhook", s.webhook)
	return keep.Handler(mux)
}
