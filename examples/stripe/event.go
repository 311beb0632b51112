package main

import (
	"encoding/json"
	"fmt"

	"github.com/stripe/stripe-go/v85"
)

// rule decides which event is the conversion. See the package comment.
type rule string

const (
	onCheckout rule = "checkout"
	onPayment  rule = "payment"
)

// sale is what an event tells about an order.
type sale struct {
	// order names the order's row: the Checkout Session, or the subscription
	// that an invoice is for.
	order string
	// buyer is the user whose row has the tracking; zero for none.
	buyer buyer
	// metadata may have the tracking. The first has precedence.
	metadata []map[string]string
	// converts is true if this is the conversion. An unpaid sale only stores its
	// tracking.
	converts bool
}

// buyer is what Stripe tells about the buyer.
type buyer struct {
	reference string // the client_reference_id: the id in our users table
	customer  string // Stripe's id
	email     string // as typed at Checkout: it proves nothing, but is good enough for a tracking
}

// session has the fields of a Checkout Session that are the same in every API
// version. An event has the version of its webhook endpoint, which may be older
// than stripe.CheckoutSession: decoding into that type may fail.
type session struct {
	ID              string                              `json:"id"`
	Mode            stripe.CheckoutSessionMode          `json:"mode"`
	PaymentStatus   stripe.CheckoutSessionPaymentStatus `json:"payment_status"`
	Reference       string                              `json:"client_reference_id"`
	Customer        string                              `json:"customer"`
	CustomerDetails struct {
		Email string `json:"email"`
	} `json:"customer_details"`
	Metadata map[string]string `json:"metadata"`
}

// invoice has both shapes of an invoice: its subscription is at the top before the
// API version 2025-03-31.basil, and under parent since then.
type invoice struct {
	AmountPaid          int64               `json:"amount_paid"`
	Subscription        string              `json:"subscription"`
	SubscriptionDetails subscriptionDetails `json:"subscription_details"`
	Parent              struct {
		SubscriptionDetails subscriptionDetails `json:"subscription_details"`
	} `json:"parent"`
}

// subscriptionDetails has a copy of the subscription's metadata from the time when
// the invoice was finalized.
type subscriptionDetails struct {
	Subscription string            `json:"subscription"`
	Metadata     map[string]string `json:"metadata"`
}

// read reads an event. ok is false if the event is about no sale.
func (on rule) read(e stripe.Event) (s sale, ok bool, err error) {
	if e.Data == nil {
		return sale{}, false, nil
	}
	switch e.Type {
	case stripe.EventTypeCheckoutSessionCompleted, stripe.EventTypeCheckoutSessionAsyncPaymentSucceeded:
		var checkout session
		if err := json.Unmarshal(e.Data.Raw, &checkout); err != nil {
			return sale{}, false, fmt.Errorf("read the checkout session: %w", err)
		}
		s, ok = on.session(checkout, e.Type == stripe.EventTypeCheckoutSessionAsyncPaymentSucceeded)
	case stripe.EventTypeInvoicePaid, stripe.EventTypeInvoicePaymentSucceeded:
		var paid invoice
		if err := json.Unmarshal(e.Data.Raw, &paid); err != nil {
			return sale{}, false, fmt.Errorf("read the invoice: %w", err)
		}
		s, ok = on.invoice(paid)
	}
	return s, ok, nil
}

// session reads a Checkout Session. paidLater is true for a payment that took days.
func (on rule) session(s session, paidLater bool) (sale, bool) {
	switch {
	case s.Mode == stripe.CheckoutSessionModeSetup: // a card for later
		return sale{}, false
	case on == onPayment && s.Mode == stripe.CheckoutSessionModeSubscription: // its invoice counts
		return sale{}, false
	case on == onPayment && s.PaymentStatus == stripe.CheckoutSessionPaymentStatusNoPaymentRequired:
		return sale{}, false
	}
	return sale{
		order:    s.ID,
		buyer:    buyer{s.Reference, s.Customer, s.CustomerDetails.Email},
		metadata: []map[string]string{s.Metadata},
		converts: paidLater || s.PaymentStatus != stripe.CheckoutSessionPaymentStatusUnpaid,
	}, true
}

func (on rule) invoice(i invoice) (sale, bool) {
	subscription := i.Parent.SubscriptionDetails.Subscription
	if subscription == "" {
		subscription = i.Subscription
	}
	if on != onPayment || subscription == "" || i.AmountPaid <= 0 {
		return sale{}, false
	}
	return sale{
		order:    subscription,
		metadata: []map[string]string{i.Parent.SubscriptionDetails.Metadata, i.SubscriptionDetails.Metadata},
		converts: true,
	}, true
}
