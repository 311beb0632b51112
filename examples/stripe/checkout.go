package main

import (
	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop"
)

// purchase is what a user is about to buy.
type purchase struct {
	user, email string
	tracking    sparkloop.Tracking // zero if the user did not come through SparkLoop
	// trialDays is the trial of a subscription. 0 is a one-time purchase.
	trialDays int64
}

// sessionParams returns the Checkout Session for a purchase. It sets the tracking
// on the session and on its subscription or payment intent, because Stripe does
// not copy the metadata. An invoice shows the subscription's only, and the
// dashboard the payment intent's.
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

// reference returns a user's ID for client_reference_id, or nil if Stripe would
// drop it: payment links and the pricing table ignore IDs with other characters
// or more than 200. The webhook then finds the user by the email, or uses the
// metadata.
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
