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
	"github.com/stretchr/testify/require"
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
				assert.Equal(t, test.want[on], s.queue.has(tracking))
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
	s.hook.ServeHTTP(httptest.NewRecorder(), r)
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
	assert.True(t, s.queue.has(tracking))
	kept, _ := s.rows.order("cs_test_1")
	assert.Equal(t, order{tracking: tracking, settled: true}, kept)
}

func TestTheUsersRowGoesFirst(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"by reference": `"client_reference_id":"user_1"`,
		"by email":     `"client_reference_id":null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, onCheckout)
			row, metadata := s.click(), s.click()
			s.rows.signUp("Buyer@example.com", row)
			s.done(checkout(completed, "paid", metadata, change))
			s.enqueued(row)
			assert.False(t, s.queue.has(metadata))
		})
	}
}

func TestAnExpiredRowGivesWayToTheMetadata(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	stale, live := s.click(), s.click()
	stale.CapturedAt = time.Now().Add(-46 * 24 * time.Hour).UTC()
	id := s.rows.signUp("buyer@example.com", sparkloop.Tracking{})
	s.rows.users[id] = stale
	s.done(checkout(completed, "paid", live))
	s.enqueued(live)
	assert.False(t, s.queue.has(stale))
}

// A click after the purchase is another one: events that come late confirm the
// first, and the next purchase confirms the second.
func TestTheOrderKeepsItsClick(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	first, second := s.click(), s.click()
	s.rows.signUp("buyer@example.com", first)
	s.done(checkout(completed, "unpaid", first))
	s.rows.users["user_1"] = second
	s.done(checkout(asyncSucceeded, "paid", first), checkout(asyncSucceeded, "paid", first))
	s.enqueued(first)
	assert.False(t, s.queue.has(second))

	s.done(checkout(completed, "paid", second, `"id":"cs_test_2"`))
	s.enqueued(first, second)
}

func TestTheRowIsFreeAfterTheConversion(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	first, second := s.click(), s.click()
	s.rows.signUp("buyer@example.com", first)
	s.done(checkout(completed, "paid", first))
	s.rows.signUp("buyer@example.com", second)
	s.done(checkout(completed, "paid", first), checkout(completed, "paid", second, `"id":"cs_test_2"`))
	s.enqueued(first, second)
}

func TestNobodyToPay(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	s.done(checkout(completed, "paid", sparkloop.Tracking{}))
	s.done(checkout(completed, "paid", sparkloop.Tracking{}, `"metadata":null`, `"id":"cs_test_2"`))
	s.enqueued()
	assert.Empty(t, s.log.String())

	s.rows.signUp("buyer@example.com", s.click()) // a click that came after the order
	s.done(checkout(completed, "paid", sparkloop.Tracking{}))
	s.enqueued()
}

func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	event := checkout(completed, "paid", tracking)
	s.queue.full = 1
	assert.Equal(t, http.StatusInternalServerError, s.send(event))
	kept, _ := s.rows.order("cs_test_1")
	assert.False(t, kept.settled)

	s.done(event, event) // Stripe sends it again, and once too often
	s.enqueued(tracking)
	kept, _ = s.rows.order("cs_test_1")
	assert.Equal(t, order{tracking: tracking, settled: true}, kept)
}

// The click of a buyer counts by the time of the purchase, not by that of the
// delivery which went through.
func TestAClickThatExpiresDuringAnOutage(t *testing.T) {
	t.Parallel()
	s := newStage(t, onCheckout)
	tracking := s.click()
	event := checkout(completed, "paid", tracking)
	s.queue.full = 1
	assert.Equal(t, http.StatusInternalServerError, s.send(event))
	kept, _ := s.rows.order("cs_test_1")
	kept.tracking.CapturedAt = time.Now().Add(-46 * 24 * time.Hour).UTC().Truncate(time.Second)
	s.rows.orders["cs_test_1"] = kept
	s.done(event)
	assert.True(t, s.queue.has(tracking))
}

func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"userTracking", "claim", "settle"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, onCheckout)
			tracking := s.click()
			s.rows.fail[method] = 1
			event := checkout(completed, "paid", tracking)
			assert.Equal(t, http.StatusInternalServerError, s.send(event))
			s.done(event)
			assert.True(t, s.queue.has(tracking))
			kept, _ := s.rows.order("cs_test_1")
			assert.Equal(t, order{tracking: tracking, settled: true}, kept)
		})
	}
}

func TestWhatCannotBeReadIsSetAside(t *testing.T) {
	t.Parallel()
	damaged := `"metadata":{"sparkloop_tracking":"v9.what"}`
	t.Run("in the metadata", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, onCheckout)
		s.done(checkout(completed, "paid", sparkloop.Tracking{}, damaged))
		kept, _ := s.rows.order("cs_test_1")
		assert.ErrorIs(t, kept.refused, sparkloop.ErrInvalidTracking)
		s.enqueued()
	})
	t.Run("in the row", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, onCheckout)
		var unread sparkloop.Tracking
		require.NoError(t, unread.Scan("v9.what"))
		id := s.rows.signUp("buyer@example.com", sparkloop.Tracking{})
		s.rows.users[id] = unread
		s.done(checkout(completed, "paid", sparkloop.Tracking{}))
		kept, _ := s.rows.order("cs_test_1")
		assert.ErrorIs(t, kept.refused, sparkloop.ErrInvalidTracking)
		assert.Equal(t, unread, s.rows.users[id], "it stays for a person to look at")
		s.enqueued()
	})
	t.Run("beside one that can", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, onCheckout)
		tracking := s.click()
		s.rows.signUp("buyer@example.com", tracking)
		event := checkout(completed, "paid", sparkloop.Tracking{}, damaged)
		s.done(event, event)
		s.enqueued(tracking)
		kept, _ := s.rows.order("cs_test_1")
		assert.NoError(t, kept.refused)
	})
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
		s.hook.ServeHTTP(w, httptest.NewRequest(method, "/webhook", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, http.MethodPost, w.Header().Get("Allow"))
	}
	assert.Equal(t, http.StatusRequestEntityTooLarge, s.send(`{"object":"event","x":"`+strings.Repeat("x", maxEvent)+`"}`))
	for _, payload := range []string{"", "{", "null", "[]", `{"object":"v2.core.event"}`, `{"object":"event","type":"` + completed + `","data":{}}`} {
		assert.Equal(t, http.StatusBadRequest, s.send(payload), payload)
	}
	s.done(`{"object":"event","type":"` + completed + `"}`)

	r := httptest.NewRequest(http.MethodPost, "/webhook", errReader{})
	w := httptest.NewRecorder()
	s.hook.ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code)
}

// An event that Stripe signed and this program cannot read is for a person, who
// sees it failing in the dashboard; after a new release it comes again.
func TestAShapeThatIsNotKnown(t *testing.T) {
	t.Parallel()
	s := newStage(t, onPayment)
	assert.Equal(t, http.StatusInternalServerError, s.send(event(completed, newer, `{"id":7}`)))
	assert.Equal(t, http.StatusInternalServerError, s.send(event("invoice.paid", newer, `{"amount_paid":"9.00"}`)))
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken off") }

func TestNewEndpoint(t *testing.T) {
	t.Parallel()
	_, err := newEndpoint("", onCheckout, nil, nil, nil)
	assert.ErrorContains(t, err, "no signing secret")
	_, err = newEndpoint(testSecret, "renewal", nil, nil, nil)
	assert.ErrorContains(t, err, `"renewal"`)
}
