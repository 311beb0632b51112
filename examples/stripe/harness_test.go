package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const testSecret = "test-secret"

// stage is a shop with an empty queue.
type stage struct {
	*testing.T
	api   *sparklooptest.Server // for clicks
	queue *programtest.Queue
	shop  *shop
	site  http.Handler
	log   *bytes.Buffer
}

var (
	errFull = errors.New("the disk is full")
	errAway = errors.New("the database is away")
)

func newStage(t *testing.T, on rule) *stage {
	t.Helper()
	s := &stage{T: t, api: sparklooptest.NewServer(t), queue: &programtest.Queue{}, log: &bytes.Buffer{}}
	s.shop = &shop{queue: s.queue, secret: testSecret, on: on, log: slog.New(slog.NewTextHandler(s.log, nil))}
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	s.site = s.shop.handler(keep)
	return s
}

// click is a click on the offer.
func (s *stage) click() sparkloop.Tracking {
	_, t := s.api.Click("", "")
	return t
}

// send delivers a signed event, as Stripe does, and returns the status.
func (s *stage) send(event string) int {
	s.Helper()
	return s.deliver(event, signature(event))
}

func (s *stage) deliver(event, signature string) int {
	s.Helper()
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(event))
	r.Header.Set("Stripe-Signature", signature)
	w := httptest.NewRecorder()
	s.site.ServeHTTP(w, r)
	return w.Code
}

func signature(event string) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(event), Secret: testSecret}).Header
}

// done asserts that events are answered with 200.
func (s *stage) done(events ...string) {
	s.Helper()
	for _, event := range events {
		assert.Equal(s, http.StatusOK, s.send(event), event)
	}
}

// enqueued asserts which conversions the queue has, each enqueued once.
func (s *stage) enqueued(trackings ...sparkloop.Tracking) {
	s.Helper()
	var want []string
	for _, t := range trackings {
		want = append(want, t.Key())
	}
	assert.ElementsMatch(s, want, s.queue.Keys())
}

// The versions of the API that events come in.
const (
	beforeBasil = "2024-06-20"
	basil       = "2025-03-31.basil"
	newer       = "2026-03-25.dahlia"
)

// event is one of Stripe's. Its API version is that of the endpoint.
func event(kind, version, object string) string {
	return fmt.Sprintf(`{"id":"evt_1","object":"event","api_version":%q,"created":1767225600,"livemode":false,
		"pending_webhooks":1,"request":{"id":null,"idempotency_key":null},"type":%q,"data":{"object":%s}}`, version, kind, object)
}

const (
	completed      = "checkout.session.completed"
	asyncSucceeded = "checkout.session.async_payment_succeeded"
	asyncFailed    = "checkout.session.async_payment_failed"
)

// checkout is an event of a Checkout Session, with the tracking in its metadata.
// changes are made to it: fields in JSON, each in the place of the one of its
// name.
func checkout(kind, status string, metadata sparkloop.Tracking, changes ...string) string {
	object := fmt.Sprintf(`{"id":"cs_test_1","object":"checkout.session","amount_total":900,"client_reference_id":null,"created":1767225000,
		"customer":null,"customer_details":{"address":null,"email":"buyer@example.com","name":null},"customer_email":"buyer@example.com",
		"invoice":null,"livemode":false,"metadata":%s,"mode":"payment","payment_intent":"pi_1","payment_status":%q,"status":"complete",
		"subscription":null,"url":null}`, inMetadata(metadata), status)
	for _, change := range changes {
		name, _, _ := strings.Cut(change, ":")
		before, rest, ok := strings.Cut(object, name+":")
		if !ok {
			panic("no field " + name)
		}
		_, rest, _ = strings.Cut(rest, ",")
		object = before + change + "," + rest
	}
	return event(kind, newer, object)
}

// inMetadata is an object's metadata in JSON.
func inMetadata(t sparkloop.Tracking) string {
	if text, ok := t.Metadata()["sparkloop_tracking"]; ok {
		return fmt.Sprintf(`{"plan":"x","sparkloop_tracking":%q}`, text)
	}
	return `{}`
}

// invoiceEvent is an event of a subscription's invoice, in the shape that the
// version has.
func invoiceEvent(kind, version, reason string, paid int, metadata sparkloop.Tracking) string {
	details := `"parent":{"quote_details":null,"subscription_details":{"metadata":` + inMetadata(metadata) +
		`,"subscription":"sub_1"},"type":"subscription_details"}`
	if version == beforeBasil {
		details = `"subscription":"sub_1","subscription_details":{"metadata":` + inMetadata(metadata) + `}`
	}
	return event(kind, version, fmt.Sprintf(`{"id":"in_1","object":"invoice","amount_due":%[1]d,"amount_paid":%[1]d,"billing_reason":%[2]q,
		"customer":"cus_1","customer_email":"buyer@example.com","metadata":{},%[3]s,"status":"paid","total":%[1]d}`, paid, reason, details))
}
