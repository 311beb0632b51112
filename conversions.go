package sparkloop

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sparkloop-go/sparkloop/internal/reply"
)

// ConversionsService confirms conversions.
type ConversionsService struct{ caller *caller }

// Confirmation is a confirmed conversion.
type Confirmation struct {
	// Message is the API's own text: at most 512 bytes, without control
	// characters.
	Message string

	// AlreadyConfirmed is true if the conversion was confirmed before: by another
	// call, by an attempt of this call whose answer was lost, or by SparkLoop's
	// script.
	AlreadyConfirmed bool
}

// Confirm confirms the conversion of t at SparkLoop. Call it as soon as the
// person has done what the offer pays for. SparkLoop accepts it for 45 days
// after the click. Confirm sends older ones too.
//
// It is safe to repeat: a conversion that was confirmed before is a success
// with AlreadyConfirmed set, and counts once. A success is a 200 or another 2xx
// with a JSON object without an error. An empty body or a proxy's page is not a
// success.
//
// A zero Tracking returns [ErrNoTracking], a malformed one
// [ErrInvalidTracking]. Neither is sent. Every other failure is an [*Error],
// such as [ErrOfferNotFound], [ErrSubmissionNotFound] or [ErrNotActionOffer].
// [Retryable] reports whether the call may succeed later.
//
// In an HTTP handler, r.Context() ends when the visitor closes the page. To
// confirm anyway, pass context.WithoutCancel(r.Context()); [WithTimeout] then
// bounds the call. For a long list, pass a context with more than two minutes:
// a call may have to wait for a whole window of the rate limit.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers/conversions
func (s *ConversionsService) Confirm(ctx context.Context, t Tracking) (*Confirmation, error) {
	err := t.Validate()
	if t.IsZero() {
		err = ErrNoTracking
	}
	if err != nil {
		return nil, fmt.Errorf("sparkloop: confirm: %w", err)
	}
	if s == nil {
		s = new(ConversionsService)
	}
	body := envelopes.Get().(*reply.Envelope)
	defer func() {
		body.Reset()
		envelopes.Put(body)
	}()
	failed := s.caller.do(ctx, call{offer: t.Offer, submission: t.Submission, body: body})
	switch {
	case failed == nil:
		return &Confirmation{Message: s.caller.key.Clean(body.Message.First())}, nil
	case errors.Is(failed, errAlreadyConfirmed):
		return &Confirmation{Message: failed.Message, AlreadyConfirmed: true}, nil
	}
	return nil, failed
}

var envelopes = sync.Pool{New: func() any { return new(reply.Envelope) }}
