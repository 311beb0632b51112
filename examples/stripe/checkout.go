package main

import (
	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop"
)

// purchase is what a user is about to buy.
type purchase struct {
	user, email string
	tracking    sparkloop.Tracking // zero if the user did not come through SparkLoop
	// trialDays makes it a subscription that begins with a trial; with 0 it is
	// a one-time purchase.
	trialDays int64
}

// sessionParams is the Checkout Session for a purchase. The tracking goes on the
// session and on what the session makes, because Stripe copies the metadata of
// a Checkout Session to neither: the subscription's is the only one that an
// invoice shows, and the payment intent's the one in the dashboard's payments.
func sessionParams(p purchase, base string) *stripe.CheckoutSessionCreateParams {
	metadata := p.tracking.Metadata() // nil without a tracking
	price := &stripe.CheckoutSessionCreateLineItemPriceDataParams{
		Currency:    stripe.String("usd"),
		UnitAmount:  stripe.Int64(900),
		ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: stripe.String("The book")},
	}
	params := &stripe.CheckoutSessionCreateParams{
		Mode:              stripe.String(string(stripe.CheckoutSessionModePayment)),
		ClientReferenceID: reference(p.user),
		CustomerEmail:     stripe.String(p.email),
		SuccessURL:        stripe.String(base + "/thanks?session_id={CHECKOUT_SESSION_ID}"), // Stripe fills it in
		CancelURL:         stripe.String(base + "/"),
		LineItems:         []*stripe.CheckoutSessionCreateLineItemParams{{PriceData: price, Quantity: stripe.Int64(1)}},
		Metadata:          metadata,
	}
	if p.trialDays == 0 {
		params.PaymentIntentData = &stripe.CheckoutSessionCreatePaymentIntentDataParams{Metadata: metadata}
		return params
	}
	price.ProductData.Name = stripe.String("The magazine")
	price.Recurring = &stripe.CheckoutSessionCreateLineItemPriceDataRecurringParams{Interval: stripe.String("month")}
	params.Mode = stripe.String(string(stripe.CheckoutSessionModeSubscription))
	params.SubscriptionData = &stripe.CheckoutSessionCreateSubscriptionDataParams{
		Metadata: metadata, TrialPeriodDays: new(p.trialDays),
	}
	return params
}

// reference is a user's id for client_reference_id, or nil if it cannot be one.
// Stripe's pricing table and payment links drop what has other characters or
// more than 200, without a word; then the webhook finds the user by the email,
// or takes the metadata.
func reference(user string) *string {
	if user == "" || len(user) > 200 {
		return nil
	}
	for i := range len(user) {
		c := user[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' {
			continue
		}
		return nil
	}
	return &user
}
