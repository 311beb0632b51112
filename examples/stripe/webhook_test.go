package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/sparkloop-go/sparkloop"
)

func TestWhatIsAConversion(t *testing.T) {
	t.Parallel()
	const setup, subscription = `"mode":"setup"`, `"mode":"subscription"`
	tests := map[string]struct {
		kind, status string
		changes      []string
		want         map[rule]bool
	}{
		"paid":                    {completed, "paid", nil, map[rule]bool{onCheckout: true, onPayment: true}},
		"for nothing":             {completed, "no_payment_required", nil, map[rule]bool{onCheckout: true}},
		"unpaid":                  {completed, "unpaid", nil, nil},
		"paid later":              {asyncSucceeded, "paid", nil, map[rule]bool{onCheckout: true, onPayment: true}},
		"paid later by its type":  {asyncSucceeded, "unpaid", nil, map[rule]bool{onCheckout: true, onPayment: true}},
		"not paid later":          {asyncFailed, "unpaid", nil, nil},
		"trial":                   {completed, "no_payment_required", []string{subscription}, map[rule]bool{onCheckout: true}},
		"subscription":            {completed, "paid", []string{subscription}, map[rule]bool{onCheckout: true}},
		"subscription paid later": {asyncSucceeded, "paid", []string{subscription}, map[rule]bool{onCheckout: true}},
		"a card for later":        {completed, "no_payment_required", []string{setup}, nil},
		"left":                    {"checkout.session.expired", "unpaid", nil, nil},
		"something else":          {"customer.created", "paid", nil, nil},
	}
	for name, test := range tests {
		for _, on := range []rule{onCheckout, onPayment} {
			t.Run(name+" on "+string(on), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, on)
				tracking := s.click()
				s.done(checkout(test.kind, test.status, tracking, test.changes...))
				assert.Equal(t, test.want[on], s.queue.Has(tracking))
			})
		}
	}
}

func TestUnpaidThenPaid(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	s.done(checkout(completed, "unpaid", tracking))
	s.enqueued()
	s.done(checkout(asyncSucceeded, "paid", tracking))
	s.enqueued(tracking)
}

func TestUnpaidForGood(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	s.done(checkout(completed, "unpaid", tracking), checkout(asyncFailed, "unpaid", tracking))
	s.enqueued()
}

func TestStripeHangsUp(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	event := checkout(completed, "paid", tracking)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(event)).WithContext(ctx)
	r.Header.Set("Stripe-Signature", signature(event))
	s.site.ServeHTTP(httptest.NewRecorder(), r)
	s.enqueued(tracking)
}

// Stripe promises neither an order nor that an event comes once.
func TestDuplicatesAndDisorder(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	success, unpaid := checkout(asyncSucceeded, "paid", tracking), checkout(completed, "unpaid", tracking)
	s.done(success, unpaid, success, unpaid, checkout(completed, "paid", tracking))
	s.enqueued(tracking)
}

func TestTheSameEventManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { s.done(checkout(completed, "paid", tracking)) })
	}
	wait.Wait()
	assert.True(t, s.queue.Has(tracking)) // Enqueue is safe to repeat
}

func TestNobodyToPay(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	s.done(checkout(completed, "paid", sparkloop.Tracking{}))
	s.done(checkout(completed, "paid", sparkloop.Tracking{}, `"metadata":null`, `"id":"cs_test_2"`))
	s.enqueued()
	assert.Empty(t, s.log.String())
}

func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	event := checkout(completed, "paid", tracking)
	s.queue.FailLookup(errAway)
	s.queue.FailEnqueue(errFull)
	assert.Equal(t, http.StatusInternalServerError, s.send(event))
	assert.Contains(t, s.log.String(), errAway.Error())
	assert.Equal(t, http.StatusInternalServerError, s.send(event))
	assert.Contains(t, s.log.String(), errFull.Error())
	s.done(event, event) // Stripe sends it again, and once too often
	s.enqueued(tracking)
}

// The same click in two payments: SparkLoop pays for one.
func TestTwoPaymentsOfOneClick(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	s.done(checkout(completed, "paid", tracking), checkout(completed, "paid", tracking, `"id":"cs_test_2"`))
	s.enqueued(tracking)
}

func TestMetadataThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	s.done(checkout(completed, "paid", sparkloop.Tracking{}, `"metadata":{"sparkloop_tracking":"v9.what"}`))
	assert.Contains(t, s.log.String(), "unreadable tracking")
	s.enqueued()
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	event := checkout(completed, "paid", tracking)
	sign := func(secret string, at time.Time, payload string) string {
		return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(payload), Secret: secret, Timestamp: at}).Header
	}
	for name, signature := range map[string]string{
		"missing":         "",
		"broken":          "t=,v1",
		"another secret":  sign("other-secret", time.Now(), event),
		"an empty secret": sign("", time.Now(), event),
		"another payload": sign(testSecret, time.Now(), event+" "),
		"replayed":        sign(testSecret, time.Now().Add(-time.Hour), event),
	} {
		assert.Equal(t, http.StatusBadRequest, s.deliver(event, signature), name)
	}
	s.enqueued()
	// While a secret is changed, Stripe signs with both.
	both := sign("other-secret", time.Now(), event)
	_, v1, _ := strings.Cut(signature(event), ",")
	assert.Equal(t, http.StatusOK, s.deliver(event, both+","+v1))
	s.enqueued(tracking)
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		s.site.ServeHTTP(w, httptest.NewRequest(method, "/webhook", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, http.MethodPost, w.Header().Get("Allow"))
	}
	assert.Equal(t, http.StatusBadRequest, s.send(`{"object":"event","x":"`+strings.Repeat("x", maxEvent)+`"}`))
	for _, payload := range []string{"", "{", "null", "[]", `{"object":"v2.core.event"}`, `{"object":"event","type":"` + completed + `","data":{}}`} {
		assert.Equal(t, http.StatusBadRequest, s.send(payload), payload)
	}
	s.done(`{"object":"event","type":"` + completed + `"}`)

	r := httptest.NewRequest(http.MethodPost, "/webhook", errReader{})
	w := httptest.NewRecorder()
	s.site.ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code)
}

// A signed event that cannot be read fails. A person sees it in Stripe's dashboard,
// and a corrected program gets it again.
func TestAShapeThatIsNotKnown(t *testing.T) {
	t.Parallel()
	s := newStage(t, onPayment)
	assert.Equal(t, http.StatusInternalServerError, s.send(event(completed, newer, `{"mode":7}`)))
	assert.Equal(t, http.StatusInternalServerError, s.send(event("invoice.paid", newer, `{"amount_paid":"9.00"}`)))
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken off") }
