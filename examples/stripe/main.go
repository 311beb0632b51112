// Command stripe is a small shop that sells through Stripe Checkout and enqueues
// SparkLoop's conversions in Stripe's webhook: that is where a shop learns that
// somebody has paid.
//
//	STRIPE_API_KEY=... STRIPE_WEBHOOK_SECRET=... SPARKLOOP_API_KEY=... go run ./examples/stripe
//
// In Stripe's test mode, stripe listen --forward-to 127.0.0.1:8080/webhook
// prints the secret and brings the events.
//
// # Where the tracking comes from
//
// The webhook is Stripe's request, not the visitor's: there is no cookie. The
// tracking of a sale is the one in the user's row, if that is live, or else the
// one in the metadata that the shop gave to Stripe (checkout.go). The order's
// row takes it with the first event of the order and keeps it from then on
// (store.go). So an event that comes twice, late or before another one
// confirms the same click as the first did, even if the buyer has clicked
// anew; and an order that is settled is not asked about again.
//
// # Which event is the conversion
//
// That is a matter of what the offer pays for, and the setting -confirm-on:
//
// checkout, the default, is for a signup, a trial or a purchase at Checkout:
// checkout.session.completed with any payment_status but "unpaid" (a trial's is
// "no_payment_required"), or checkout.session.async_payment_succeeded, days
// later, for those that were unpaid. Invoices do not matter, so a renewal
// confirms nothing. A Checkout Session in the mode "setup" sells nothing.
//
// payment is for an offer that pays when money has come, after a trial too. A
// one-time purchase confirms as above, but not with "no_payment_required". A
// subscription confirms with its first invoice.paid, or
// invoice.payment_succeeded, that has an amount_paid above zero.
//
// An event does not say that its invoice is the first with money in it. A trial
// begins with an invoice of zero, whose billing_reason is subscription_create;
// the first paid one has subscription_cycle, "a subscription advanced into a
// new period", and so has every renewal. Therefore billing_reason is not looked
// at. The first paid invoice that is seen decides for its subscription, in the
// order's row, and a renewal finds that done. Were the row lost, a renewal would
// confirm the same click again, which SparkLoop counts once.
//
// That holds because an invoice brings its click along, in the subscription's
// metadata as Checkout set it. The user's row is not asked here: a subscriber
// of years who clicks today would be a conversion at the next renewal. A
// subscription that was made without the metadata confirms nothing.
//
// # What comes of it
//
// 200 tells Stripe that the event is done with: the conversion is in the outbox,
// which delivers it, however long SparkLoop is down, and sets aside what
// SparkLoop refuses. 500 has Stripe send the event again, for up to three days:
// the database is down, or the disk is full. What nobody can read is a 200, and
// set aside for a person, in the order's row and the log.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It ends with the context.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	flags := flag.NewFlagSet("stripe", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on")
	base := flags.String("url", "http://127.0.0.1:8080", "`URL` under which browsers reach the shop")
	on := flags.String("confirm-on", string(onCheckout), "the conversion: checkout or payment")
	file := flags.String("queue", "sparkloop.db", "`file` of the outbox, which a redeploy must leave alone")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	shop, queue, err := newSite(ctx, getenv, *base, *file, rule(*on), slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		fmt.Fprintln(stderr, "stripe:", err)
		return 2
	}
	err = serve(ctx, *addr, shop.handler(), stderr)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if err := errors.Join(err, queue.Close(end)); err != nil {
		fmt.Fprintln(stderr, "stripe:", err)
		return 1
	}
	return 0
}

// newSite is the shop as the environment has it, and its queue, to be closed.
func newSite(ctx context.Context, getenv func(string) string, base, file string, on rule, log *slog.Logger) (*site, outbox.Queue, error) {
	var missing []string
	need := func(name string) string {
		value := getenv(name)
		if value == "" {
			missing = append(missing, name)
		}
		return value
	}
	stripeKey, secret, key := need("STRIPE_API_KEY"), need("STRIPE_WEBHOOK_SECRET"), need("SPARKLOOP_API_KEY")
	if len(missing) > 0 {
		return nil, nil, fmt.Errorf("not set: %s", strings.Join(missing, ", "))
	}
	client, err := sparkloop.New(key)
	if err != nil {
		return nil, nil, err
	}
	queue, err := sqliteoutbox.Open(ctx, file, client, outbox.Options{Logger: log})
	if err != nil {
		return nil, nil, err
	}
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	if err != nil {
		return nil, nil, errors.Join(err, queue.Close(ctx))
	}
	rows := newMemory()
	hook, err := newEndpoint(secret, on, queue, rows, log)
	if err != nil {
		return nil, nil, errors.Join(err, queue.Close(ctx))
	}
	return &site{base: strings.TrimSuffix(base, "/"), keep: keep, stripe: stripe.NewClient(stripeKey), rows: rows, webhook: hook, log: log}, queue, nil
}

func serve(ctx context.Context, addr string, h http.Handler, stderr io.Writer) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadTimeout: 10 * time.Second}
	fmt.Fprintf(stderr, "stripe: http://%s, webhook at /webhook\n", listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*storeTimeout)
	defer cancel()
	return server.Shutdown(wait) // what it cuts off, Stripe sends again
}
