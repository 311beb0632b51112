package main

import (
	"encoding/json"
	"fmt"

	"github.com/stripe/stripe-go/v85"
)

// rule says which event is the conversion; see the package comment.
type rule string

const (
	onCheckout rule = "checkout"
	onPayment  rule = "payment"
)

// sale is what an event says of an order.
type sale struct {
	// order names the order's row: the Checkout Session, or the subscription
	// that an invoice is for.
	order string
	// buyer is whose row to ask; zero asks none.
	buyer buyer
	// metadata is where Stripe may have the tracking, the best first.
	metadata []map[string]string
	// converts says that this is the conversion. A sale that is still unpaid
	// takes its tracking and waits.
	converts bool
}

// buyer is what Stripe knows of who has bought.
type buyer struct {
	reference string // the client_reference_id: the id in our users table
	customer  string // Stripe's id
	email     string // as typed at Checkout: good for a tracking, no proof of who it is
}

// session is of a Checkout Session what is needed here, and the same in every
// API version. The webhook speaks the version that its endpoint was made with,
// stripe.CheckoutSession the one of its release: decoding an old event into the
// new type may fail.
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

// invoice is an invoice in both of its shapes: before the API version
// 2025-03-31.basil its subscription stands at the top, since then under parent.
type invoice struct {
	AmountPaid          int64               `json:"amount_paid"`
	Subscription        string              `json:"subscription"`
	SubscriptionDetails subscriptionDetails `json:"subscription_details"`
	Parent              struct {
		SubscriptionDetails subscriptionDetails `json:"subscription_details"`
	} `json:"parent"`
}

// subscriptionDetails has the subscription's metadata as they were when the
// invoice was finalized.
type subscriptionDetails struct {
	Subscription string            `json:"subscription"`
	Metadata     map[string]string `json:"metadata"`
}

// read reads an event. It is not ok if the event has nothing to do with a
// conversion.
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

// session reads a Checkout Session. paidLater says that the event is the news of
// a payment that took days.
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
