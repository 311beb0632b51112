package sparkloop_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/calls"
)

// tracer is a transport that observes whole calls, as sparkloopotel's does.
type tracer struct {
	roundTrip
	seen []string
}

type inCall struct{}

func (t *tracer) TraceCall(ctx context.Context, operation string) (context.Context, func(string)) {
	t.seen = append(t.seen, "begin "+operation)
	return context.WithValue(ctx, inCall{}, operation), func(failure string) { t.seen = append(t.seen, "end "+failure) }
}

func (t *tracer) RoundTrip(r *http.Request) (*http.Response, error) {
	called, _ := r.Context().Value(inCall{}).(string)
	t.seen = append(t.seen, "request of "+called+" is "+calls.Operation(r.Method, r.URL.Path))
	return t.roundTrip(r)
}

// A transport with TraceCall observes each call around its requests, for every
// operation and every result.
func TestTracerSeesCallsAndTheirRequests(t *testing.T) {
	t.Parallel()
	confirm := func(c *sparkloop.Client) { _, _ = c.Conversions.Confirm(t.Context(), tracking) }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		answer roundTrip
		call   func(*sparkloop.Client)
		seen   []string
	}{
		"success": {echo(200, `{"message":"ok"}`), confirm, []string{"begin confirm", "request of confirm is confirm", "end "}},
		"already": {echo(422, `{"error":"Offer submission must be unique"}`), confirm, []string{"begin confirm", "request of confirm is confirm", "end "}},
		"refused": {echo(404, `{"error":"Submission not found"}`), confirm, []string{"begin confirm", "request of confirm is confirm", "end submission_not_found"}},
		"a retry": {echo(503, ``), confirm, []string{"begin confirm", "request of confirm is confirm", "request of confirm is confirm", "end 503"}},
		"no way":  {fails(errors.New("reset")), confirm, []string{"begin confirm", "request of confirm is confirm", "request of confirm is confirm", "end no_answer"}},
		"an offer": {echo(200, `{"offer":{"uuid":"offer_1"}}`), func(c *sparkloop.Client) { _, _ = c.Offers.Get(t.Context(), "offer_1") },
			[]string{"begin get_offer", "request of get_offer is get_offer", "end "}},
		"offers": {echo(200, `{"offers":[]}`), func(c *sparkloop.Client) { _, _ = c.Offers.List(t.Context(), sparkloop.ListOffersParams{Page: 2}) },
			[]string{"begin list_offers", "request of list_offers is list_offers", "end "}},
		"ended":    {echo(200, ``), func(c *sparkloop.Client) { _, _ = c.Conversions.Confirm(ended, tracking) }, []string{"begin confirm", "end canceled"}},
		"not sent": {echo(200, ``), func(c *sparkloop.Client) { _, _ = c.Conversions.Confirm(t.Context(), sparkloop.Tracking{}) }, nil},
		"no context": {echo(200, ``), func(c *sparkloop.Client) {
			_, _ = c.Conversions.Confirm(nil, tracking) //nolint:staticcheck // a mistake that happens
		}, nil},
	} {
		tr := &tracer{roundTrip: tt.answer}
		tt.call(newClient(t, tr, sparkloop.WithRetries(1), sparkloop.WithBaseURL("https://proxy.example/offers/v2")))
		assert.Equal(t, tt.seen, tr.seen, name)
	}

	tr := &tracer{roundTrip: func(*http.Request) (*http.Response, error) { panic("the transport's own") }}
	assert.Panics(t, func() { confirm(newClient(t, tr)) })
	assert.Equal(t, "end panic", tr.seen[len(tr.seen)-1])

	first := &tracer{roundTrip: echo(200, `{"message":"ok"}`)}
	c, err := newClient(t, first).With(sparkloop.WithHTTPClient(&http.Client{Transport: first.roundTrip}))
	require.NoError(t, err)
	confirm(c)
	assert.Empty(t, first.seen, "a copy with another transport has no tracer")
}
