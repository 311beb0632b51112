package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

const (
	// maxEvent limits the body of a request. Stripe's events are much smaller.
	maxEvent = 1 << 20

	// storeTimeout limits how long Stripe waits for the database.
	storeTimeout = 5 * time.Second
)

// endpoint is where Stripe sends its events. It is safe for concurrent use.
type endpoint struct {
	secret string
	on     rule
	queue  outbox.Queue
	rows   store
	log    *slog.Logger
}

// newEndpoint checks the settings. The secret is the endpoint's signing secret,
// from the dashboard or stripe listen. It is not the API key.
func newEndpoint(secret string, on rule, queue outbox.Queue, rows store, log *slog.Logger) (*endpoint, error) {
	if secret == "" {
		return nil, errors.New("no signing secret: anybody can sign with an empty one")
	}
	if on != onCheckout && on != onPayment {
		return nil, fmt.Errorf("-confirm-on is %q: it must be %s or %s", on, onCheckout, onPayment)
	}
	return &endpoint{secret, on, queue, rows, log}, nil
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "send events with POST", http.StatusMethodNotAllowed)
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the body is cut off", http.StatusBadRequest)
		return
	}
	event, err := webhook.ConstructEventWithOptions(payload, r.Header.Get("Stripe-Signature"), e.secret, webhook.ConstructEventOptions{
		IgnoreAPIVersionMismatch: true, // event.go reads every version
	})
	if err != nil {
		e.log.WarnContext(r.Context(), "the event is not signed by Stripe", "error", err)
		http.Error(w, "not a signed event", http.StatusBadRequest)
		return
	}
	sold, ok, err := e.on.read(event)
	if ok {
		// If Stripe hangs up, the work is still finished.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
		defer cancel()
		err = e.convert(ctx, sold)
	}
	if err != nil {
		e.log.WarnContext(r.Context(), "the event failed, Stripe sends it again", "event", event.ID, "type", event.Type, "error", err)
		http.Error(w, "failed, send it again", http.StatusInternalServerError)
	}
}

// convert stores the sale and enqueues its conversion. It returns an error if
// Stripe should send the event again.
func (e *endpoint) convert(ctx context.Context, s sale) error {
	found, unreadable, err := e.find(ctx, s)
	if err != nil {
		return err
	}
	o, err := e.rows.claim(ctx, s.order, found)
	if err != nil {
		return fmt.Errorf("claim %s: %w", s.order, err)
	}
	var problem error
	switch {
	case o.settled || !s.converts:
		return nil
	case !o.tracking.IsZero():
		// Enqueue is safe to repeat: after a failed settle, and for two events at
		// the same time.
		problem = e.queue.Enqueue(ctx, o.tracking)
	case unreadable != nil:
		problem = unreadable
	default:
		return nil // the buyer did not come through SparkLoop
	}
	switch {
	case sparkloop.Retryable(problem): // the disk is full, the database is down
		return problem
	case problem != nil:
		e.log.ErrorContext(ctx, "conversion set aside, for a person to look at", "order", s.order, "tracking", o.tracking.Encode(), "error", problem)
	default:
		e.log.InfoContext(ctx, "conversion enqueued", "order", s.order, "tracking", o.tracking.Encode())
	}
	if err := e.rows.settle(ctx, s.order, o.tracking, problem); err != nil {
		return fmt.Errorf("settle %s: %w", s.order, err)
	}
	return nil
}

// find returns the sale's tracking: from the user's row, or else from the
// metadata. unreadable is an error if one of them has text that cannot be read.
func (e *endpoint) find(ctx context.Context, s sale) (found sparkloop.Tracking, unreadable, err error) {
	var row sparkloop.Tracking
	if s.buyer != (buyer{}) {
		if row, err = e.rows.userTracking(ctx, s.buyer); err != nil {
			return found, nil, fmt.Errorf("the user's row: %w", err)
		}
	}
	kept, bad := sparkloop.TrackingFromMetadata(s.metadata...)
	for _, err := range []error{row.Validate(), bad} {
		if errors.Is(err, sparkloop.ErrInvalidTracking) {
			unreadable = err
		}
	}
	found, err = outbox.FirstNew(ctx, e.queue, row, kept) // not the click of an earlier sale
	return found, unreadable, err
}
