// Command stripe is a small shop that sells through Stripe Checkout. It enqueues
// SparkLoop's conversions in Stripe's webhook, because a shop learns there that
// somebody has paid.
//
//	STRIPE_API_KEY=... STRIPE_WEBHOOK_SECRET=... SPARKLOOP_API_KEY=... go run ./examples/stripe
//
// The part to copy is webhook.go, with event.go, which reads Stripe's events, and
// checkout.go, which gives Stripe the tracking. store.go says what the database
// must do. In Stripe's test mode, stripe listen --forward-to 127.0.0.1:8080/webhook
// prints the secret and forwards the events.
//
// # Where the tracking comes from
//
// Stripe sends the webhook, not the visitor, so it has no cookie. The tracking is
// the one in the user's row if that is live and not confirmed yet, or else the one
// in the metadata of the payment. The first event of an order stores it in the
// order's row, and later events use that. So an event that comes twice, late or
// out of order confirms the same click, even if the buyer has clicked again.
//
// # Which event is the conversion
//
// That depends on what the offer pays for: set -confirm-on.
//
// checkout, the default, is for a signup, a trial or a purchase:
// checkout.session.completed with any payment_status except "unpaid" (a trial has
// "no_payment_required"), or checkout.session.async_payment_succeeded, days later.
// Invoices are ignored, so a renewal confirms nothing. A Checkout Session in the
// mode "setup" sells nothing.
//
// payment is for an offer that pays when money arrives, also after a trial. A
// one-time purchase confirms as above, except with "no_payment_required". A
// subscription confirms with its first invoice.paid or invoice.payment_succeeded
// whose amount_paid is above zero.
//
// billing_reason does not tell which invoice is the first with money in it: after
// a trial that invoice has subscription_cycle, like every renewal. So the first
// paid invoice settles the order's row of its subscription, and a renewal finds it
// settled. If the row is lost, a renewal sends the same click again, which
// SparkLoop counts once.
//
// An invoice takes its click from the subscription's metadata, never from the
// user's row. Otherwise the next renewal of an old subscriber who clicks today
// would be a conversion. A subscription without the metadata confirms nothing.
//
// # What the webhook answers
//
// 200: the conversion is in the outbox, which delivers it, or there is none. A
// tracking that cannot be read is also a 200: the order's row and the log have it,
// for a person to look at. 500: the database is down or the disk is full, and
// Stripe sends the event again, for up to three days.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

func main() {
	story.Main("stripe", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Getenv, os.Stderr) })
}

// run is the whole program. It ends with the context.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("stripe", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on")
	base := flags.String("url", "http://127.0.0.1:8080", "`URL` of the shop for browsers")
	on := flags.String("confirm-on", string(onCheckout), "the conversion: checkout or payment")
	file := flags.String("queue", "sparkloop.db", "`file` of the outbox; a deployment must keep it")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	var missing []string
	for _, name := range []string{"STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "SPARKLOOP_API_KEY"} {
		if getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not set: %s", strings.Join(missing, ", "))
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
	rows := newMemory()
	hook, err := newEndpoint(getenv("STRIPE_WEBHOOK_SECRET"), rule(*on), queue, rows, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "stripe: http://%s, webhook at /webhook\n", listener.Addr())
	shop := &site{strings.TrimSuffix(*base, "/"), keep, stripe.NewClient(getenv("STRIPE_API_KEY")), queue, rows, hook, log}
	return story.Serve(ctx, listener, shop.handler()) // Stripe sends again what it cuts off
}
