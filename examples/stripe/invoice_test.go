package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
)

const (
	created = "subscription_create"
	cycle   = "subscription_cycle"
)

// versions are the API versions on both sides of the change.
var versions = []string{beforeBasil, basil, newer}

func eachVersion(t *testing.T, on rule, test func(s *stage, version string)) {
	t.Helper()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(newStage(t, on), version)
		})
	}
}

func TestOnCheckoutInvoicesConfirmNothing(t *testing.T) {
	t.Parallel()
	eachVersion(t, onCheckout, func(s *stage, version string) {
		tracking := s.click()
		for _, kind := range []string{"invoice.paid", "invoice.payment_succeeded"} {
			for _, reason := range []string{created, cycle, "subscription_update", "manual"} {
				s.done(invoiceEvent(kind, version, reason, 900, tracking))
			}
		}
		s.enqueued()
	})
}

func TestOnCheckoutATrialAndItsRenewals(t *testing.T) {
	t.Parallel()
	eachVersion(t, onCheckout, func(s *stage, version string) {
		tracking := s.click()
		s.done(
			invoiceEvent("invoice.paid", version, created, 0, tracking),
			checkout(completed, "no_payment_required", tracking, `"mode":"subscription"`),
			invoiceEvent("invoice.paid", version, cycle, 900, tracking),
			invoiceEvent("invoice.paid", version, cycle, 900, tracking),
		)
		s.enqueued(tracking)
	})
}

// The first paid invoice after a trial looks like a renewal.
func TestOnPaymentATrialThatIsPaid(t *testing.T) {
	t.Parallel()
	eachVersion(t, onPayment, func(s *stage, version string) {
		tracking := s.click()
		s.done(
			checkout(completed, "no_payment_required", tracking, `"mode":"subscription"`),
			invoiceEvent("invoice.paid", version, created, 0, tracking),
		)
		s.enqueued()
		s.done(invoiceEvent("invoice.paid", version, cycle, 900, tracking))
		s.enqueued(tracking)
		s.done(
			invoiceEvent("invoice.payment_succeeded", version, cycle, 900, tracking),
			invoiceEvent("invoice.paid", version, cycle, 900, tracking),
		)
		s.enqueued(tracking)
	})
}

func TestOnPaymentASubscriptionWithoutATrial(t *testing.T) {
	t.Parallel()
	eachVersion(t, onPayment, func(s *stage, version string) {
		tracking := s.click()
		s.done(
			invoiceEvent("invoice.paid", version, cycle, 900, tracking), // out of order: the renewal comes first
			invoiceEvent("invoice.paid", version, created, 900, tracking),
			checkout(completed, "paid", tracking, `"mode":"subscription"`),
		)
		s.enqueued(tracking)
	})
}

// A renewal after the 45 days has the click of the first invoice, which the queue
// may have forgotten.
func TestOnPaymentALateRenewal(t *testing.T) {
	t.Parallel()
	eachVersion(t, onPayment, func(s *stage, version string) {
		tracking := s.click()
		tracking.CapturedAt = time.Now().Add(-46 * 24 * time.Hour).UTC()
		s.done(invoiceEvent("invoice.paid", version, cycle, 900, tracking), invoiceEvent("invoice.paid", version, cycle, 900, sparkloop.Tracking{}))
		s.enqueued()
		assert.Empty(s, s.log.String())
	})
}

func TestOnPaymentAFailureThatMayPass(t *testing.T) {
	t.Parallel()
	eachVersion(t, onPayment, func(s *stage, version string) {
		tracking := s.click()
		event := invoiceEvent("invoice.paid", version, created, 900, tracking)
		s.queue.FailEnqueue(errFull)
		assert.Equal(s, http.StatusInternalServerError, s.send(event))
		s.done(event)
		s.enqueued(tracking)
	})
}

func TestOnPaymentAnInvoiceOfNoSubscription(t *testing.T) {
	t.Parallel()
	s := newStage(t, onPayment)
	s.done(
		event("invoice.paid", newer, `{"id":"in_1","object":"invoice","amount_paid":900,"billing_reason":"manual","metadata":{},"parent":null}`),
		event("invoice.paid", beforeBasil, `{"id":"in_1","object":"invoice","amount_paid":900,"billing_reason":"manual","subscription":null,"subscription_details":null}`),
	)
	s.enqueued()
}
