package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

const (
	maxEvent     = 1 << 20         // bytes; Stripe's events are much smaller
	storeTimeout = 5 * time.Second // how long Stripe waits for the queue
)

// shop is the site and its webhook. It is safe for concurrent use.
type shop struct {
	queue  outbox.Queue
	stripe *stripe.Client
	secret string // the endpoint's signing secret, from the dashboard or stripe listen; not the API key
	on     rule
	url    string // of the shop, where Stripe sends buyers back to
	log    *slog.Logger
}

// webhook answers 200 if the conversion is in the queue, or if there is none. It
// answers 500 if it is not stored, because the disk is full, for example. Stripe
// then sends the event again, for up to three days. So there is no transaction to
// share with the order. An event that comes twice, late or out of order confirms
// once.
func (s *shop) webhook(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		http.Error(w, "the body is cut off or too large", http.StatusBadRequest)
		return
	}
	event, err := webhook.ConstructEventWithOptions(payload, r.Header.Get("Stripe-Signature"), s.secret, webhook.ConstructEventOptions{
		IgnoreAPIVersionMismatch: true, // event.go reads every version
	})
	if err != nil {
		s.log.WarnContext(r.Context(), "the event is not signed by Stripe", "error", err)
		http.Error(w, "not a signed event", http.StatusBadRequest)
		return
	}
	if err := s.convert(r.Context(), event); err != nil {
		s.log.WarnContext(r.Context(), "the event failed, Stripe sends it again", "event", event.ID, "type", event.Type, "error", err)
		http.Error(w, "failed, send it again", http.StatusInternalServerError)
	}
}

// convert enqueues the conversion of an event, if it is one.
func (s *shop) convert(ctx context.Context, event stripe.Event) error {
	metadata, err := s.on.conversion(event)
	if err != nil {
		return err
	}
	tracking, err := sparkloop.TrackingFromMetadata(metadata...)
	if errors.Is(err, sparkloop.ErrInvalidTracking) {
		s.log.ErrorContext(ctx, "unreadable tracking, for a person to look at", "event", event.ID, "error", err)
		return nil // it does not change if Stripe sends it again
	}
	// If Stripe hangs up, the work is still finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	// Zero for an expired click, and for one that the queue has: of a renewal.
	if tracking, err = outbox.FirstNew(ctx, s.queue, tracking); err != nil {
		return err
	}
	return s.queue.Enqueue(ctx, tracking) // without a tracking: nothing to do
}
