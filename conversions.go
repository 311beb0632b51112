package sparkloop

import (
	"context"
	"fmt"

	"github.com/sparkloop-go/sparkloop/internal/api"
)

// ConversionsService confirms conversions.
type ConversionsService struct{ api *api.API }

// Confirmation is SparkLoop's word that a conversion counts.
type Confirmation struct {
	// Message is the API's own text: at most 512 bytes, without control
	// characters.
	Message string

	// AlreadyConfirmed says that the conversion was confirmed before: by
	// another call, by a try of this one whose answer was lost, or by
	// SparkLoop's script on the page.
	AlreadyConfirmed bool
}

// Confirm tells SparkLoop that the person behind t did what the offer pays
// for. Call it as soon as that has happened; SparkLoop takes it for 45 days
// after the click. Confirm never refuses on age.
//
// It is safe to repeat: what is confirmed already is a success with
// AlreadyConfirmed set, and counts once at SparkLoop. Only a JSON answer that
// says so is a success, never an empty body or a proxy's page.
//
// A zero Tracking is [ErrNoTracking], a malformed one [ErrInvalidTracking];
// neither is sent. All else is an [*Error], among them [ErrOfferNotFound],
// [ErrSubmissionNotFound] and [ErrNotActionOffer]. [Retryable] tells whether
// the call may succeed later.
//
// In an HTTP handler, r.Context() ends when the visitor closes the page; to
// confirm all the same, pass context.WithoutCancel(r.Context()), which has
// [WithTimeout] as its bound. For a long list, pass a context with more than
// two minutes: a call may have to wait a whole window for its turn.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers/conversions
func (s *ConversionsService) Confirm(ctx context.Context, t Tracking) (*Confirmation, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("sparkloop: confirm: %w", err)
	}
	var body api.Envelope
	failed := s.api.Do(ctx, api.Call{Offer: t.Offer, Submission: t.Submission, Into: &body})
	switch {
	case failed == nil:
		return &Confirmation{Message: s.api.Clean(body.Message)}, nil
	case failed.Kind == api.AlreadyConfirmed:
		return &Confirmation{Message: failed.Message, AlreadyConfirmed: true}, nil
	}
	return nil, newError("confirm "+t.Key(), failed)
}
