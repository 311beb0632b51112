package main

import (
	"encoding/json"

	"github.com/stripe/stripe-go/v85"
)

// rule decides which event is the conversion. See the package comment.
type rule string

const (
	onCheckout rule = "checkout"
	onPayment  rule = "payment"
)

// session has the fields of a Checkout Session that are the same in every API
// version. An event has the version of its webhook endpoint, which may be older
// than stripe.CheckoutSession: decoding into that type may fail.
type session struct {
	Mode          stripe.CheckoutSessionMode          `json:"mode"`
	PaymentStatus stripe.CheckoutSessionPaymentStatus `json:"payment_status"`
	Metadata      map[string]string                   `json:"metadata"`
}

// invoice has both shapes of a subscription's invoice: its details are at the top
// before the API version 2025-03-31.basil, and under parent since then. They have a
// copy of the subscription's metadata.
type invoice struct {
	AmountPaid int64   `json:"amount_paid"`
	Details    details `json:"subscription_details"`
	Parent     struct {
		Details details `json:"subscription_details"`
	} `json:"parent"`
}

type details struct {
	Metadata map[string]string `json:"metadata"`
}

// conversion returns the metadata of a sale that is a conversion: the tracking is
// in the first that has one. It returns nil for other events.
func (on rule) conversion(e stripe.Event) (metadata []map[string]string, err error) {
	if e.Data == nil {
		return nil, nil
	}
	switch e.Type {
	case stripe.EventTypeCheckoutSessionCompleted, stripe.EventTypeCheckoutSessionAsyncPaymentSucceeded:
		var s session
		err = json.Unmarshal(e.Data.Raw, &s)
		paidLater := e.Type == stripe.EventTypeCheckoutSessionAsyncPaymentSucceeded
		if err == nil && on.converts(s, paidLater) {
			metadata = []map[string]string{s.Metadata}
		}
	case stripe.EventTypeInvoicePaid, stripe.EventTypeInvoicePaymentSucceeded:
		var i invoice
		err = json.Unmarshal(e.Data.Raw, &i)
		if err == nil && on == onPayment && i.AmountPaid > 0 {
			metadata = []map[string]string{i.Parent.Details.Metadata, i.Details.Metadata}
		}
	}
	return metadata, err
}

// converts reports whether a Checkout Session is the conversion. paidLater is true
// for a payment that took days.
func (on rule) converts(s session, paidLater bool) bool {
	if s.Mode == stripe.CheckoutSessionModeSetup { // a card for later
		return false
	}
	free := s.PaymentStatus == stripe.CheckoutSessionPaymentStatusNoPaymentRequired
	if on == onPayment && (free || s.Mode == stripe.CheckoutSessionModeSubscription) { // a subscription's invoice counts
		return false
	}
	return paidLater || s.PaymentStatus != stripe.CheckoutSessionPaymentStatusUnpaid
}
