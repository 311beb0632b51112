package main

import (
	"net/http"

	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// checkout sends the browser to Stripe, with the tracking in the payment's
// metadata. Stripe then sends the buyer back to /thanks. Never confirm there: a
// buyer who closes the browser does not see that page, and anybody can open it.
func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	// A shop with accounts passes the user's tracking first.
	tracking, err := outbox.FirstNew(r.Context(), s.queue, capture.All(r.Context())...)
	if err != nil {
		s.log.ErrorContext(r.Context(), "look into the queue", "error", err) // tracking is then the first live one
	}
	var trialDays int64
	if r.PostFormValue("plan") == "trial" {
		trialDays = 14
	}
	created, err := s.stripe.V1CheckoutSessions.Create(r.Context(), sessionParams(tracking, trialDays, s.url))
	if err != nil {
		s.log.ErrorContext(r.Context(), "no checkout session", "error", err)
		http.Error(w, "Stripe does not answer. Please try again.", http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, created.URL, http.StatusSeeOther)
}

// sessionParams returns the Checkout Session of a purchase, or of a subscription
// with a trial. It sets the tracking on the session and on its subscription or
// payment intent, because Stripe does not copy the metadata. An invoice shows the
// subscription's only, and the dashboard the payment intent's.
func sessionParams(tracking sparkloop.Tracking, trialDays int64, base string) *stripe.CheckoutSessionCreateParams {
	metadata := tracking.Metadata() // nil without a tracking
	price := &stripe.CheckoutSessionCreateLineItemPriceDataParams{
		Currency:    stripe.String("usd"),
		UnitAmount:  stripe.Int64(900),
		ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: stripe.String("The book")},
	}
	params := &stripe.CheckoutSessionCreateParams{
		Mode:       stripe.String(string(stripe.CheckoutSessionModePayment)),
		SuccessURL: stripe.String(base + "/thanks"),
		CancelURL:  stripe.String(base + "/"),
		LineItems:  []*stripe.CheckoutSessionCreateLineItemParams{{PriceData: price, Quantity: stripe.Int64(1)}},
		Metadata:   metadata,
	}
	if trialDays == 0 {
		params.PaymentIntentData = &stripe.CheckoutSessionCreatePaymentIntentDataParams{Metadata: metadata}
		return params
	}
	price.ProductData.Name = stripe.String("The magazine")
	price.Recurring = &stripe.CheckoutSessionCreateLineItemPriceDataRecurringParams{Interval: stripe.String("month")}
	params.Mode = stripe.String(string(stripe.CheckoutSessionModeSubscription))
	params.SubscriptionData = &stripe.CheckoutSessionCreateSubscriptionDataParams{
		Metadata: metadata, TrialPeriodDays: new(trialDays),
	}
	return params
}
