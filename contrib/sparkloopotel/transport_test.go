package sparkloopotel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/sparkloop-go/sparkloop"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers returns one answer after the other.
func answers(all ...any) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		next := all[0]
		all = all[1:]
		switch a := next.(type) {
		case error:
			return nil, a
		case string:
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(a)), Request: r}, nil
		case io.Reader:
			return &http.Response{StatusCode: 200, Body: io.NopCloser(a), Request: r}, nil
		default:
			status := a.(int)
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(`{"error":"` + r.Header.Get("X-Api-Key") + `"}`)), Request: r}, nil
		}
	}
}

const (
	template = "/api/v2/offers/{offer}/submissions/{submission}/conversion"
	common   = " http.request.method=POST"
	place    = " server.address=api.sparkloop.app server.port=443 url.full=https://api.sparkloop.app/api/v2/offers/offer_1/submissions/submission_1/conversion url.template=" + template
	ok       = `{"message":"Conversion tracked successfully"}`
)

var tracking = sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1"}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSpansOfACall(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers []any
		spans   []string
	}{
		"a success": {[]any{ok}, []string{
			"internal sparkloop confirm sparkloop.operation=confirm",
			"client POST " + template + common + " http.response.status_code=200" + place,
		}},
		"two retries": {[]any{503, &net.OpError{Op: "read", Err: errors.New("X-Api-Key: " + apiKey)}, ok}, []string{
			"internal sparkloop confirm sparkloop.operation=confirm",
			"client POST " + template + " error.type=503" + common + " http.response.status_code=503" + place + " Error(503)",
			"client POST " + template + " error.type=*errors.errorString" + common + " http.request.resend_count=1" + place + " Error(*errors.errorString)",
			"client POST " + template + common + " http.request.resend_count=2 http.response.status_code=200" + place,
		}},
		"a body that breaks off": {[]any{cut{}, ok}, []string{
			"internal sparkloop confirm sparkloop.operation=confirm",
			"client POST " + template + " error.type=*errors.errorString" + common + " http.response.status_code=200" + place + " Error(*errors.errorString)",
			"client POST " + template + common + " http.request.resend_count=1 http.response.status_code=200" + place,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTelemetry(t)
			c, _ := o.client(answers(tt.answers...))
			ctx, parent := o.traces.Tracer("test").Start(t.Context(), "checkout")
			_, err := c.Conversions.Confirm(ctx, tracking)
			require.NoError(t, err)
			require.Equal(t, tt.spans, o.shown())
			for _, s := range o.spans.GetSpans() {
				want := parent.SpanContext()
				if s.SpanKind == trace.SpanKindClient {
					want = o.spans.GetSpans()[len(tt.spans)-1].SpanContext // the call, which ends last
				}
				assert.Equal(t, want.SpanID(), s.Parent.SpanID())
				assert.Equal(t, parent.SpanContext().TraceID(), s.SpanContext.TraceID())
				assert.Empty(t, s.Events, "an event would have the text of an error")
				assert.NotContains(t, fmt.Sprintf("%+v", s), apiKey)
			}
			assert.NotContains(t, fmt.Sprint(o.figures()), apiKey)
		})
	}
}

func TestSpansOfACallThatFails(t *testing.T) {
	t.Parallel()
	refusal := func(status int, text string) roundTrip {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(`{"error":"` + text + `"}`)), Request: r}, nil
		}
	}
	for failure, rt := range map[string]roundTrip{
		"submission_not_found": refusal(404, "Submission not found"),
		"offer_not_found":      refusal(404, "Offer not found"),
		"not_action_offer":     refusal(422, "Offer submission must be an action"),
		"unauthorized":         refusal(401, "User not found!"),
		"rate_limited":         refusal(429, ""),
		"500":                  refusal(500, ""),
		"":                     refusal(422, "Offer submission must be unique"),
		"no_answer":            answers(errors.New("reset")),
		"canceled": func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("%s: %w", apiKey, context.Canceled)
		},
	} {
		o := newTelemetry(t)
		c, _ := o.client(rt, sparkloop.WithRetries(0))
		_, err := c.Conversions.Confirm(t.Context(), tracking)
		assert.Equal(t, failure != "", err != nil)
		want := "internal sparkloop confirm sparkloop.operation=confirm"
		if failure != "" {
			want = "internal sparkloop confirm error.type=" + failure + " sparkloop.operation=confirm Error(" + failure + ")"
		}
		assert.Equal(t, want, o.shown()[0])
		assert.NotContains(t, fmt.Sprintf("%+v", o.spans.GetSpans()), apiKey)
	}
}

// Spans stay free of the key, even if the base URL has a user, a port, and the
// key in its path.
func TestNoSpanShowsTheKey(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	c, transport := o.client(answers(`{"offers":[]}`, 401, 401), sparkloop.WithBaseURL("https://proxy.example:8443/"+apiKey+"/v2"), sparkloop.WithRetries(0))
	_, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{Page: 3})
	require.NoError(t, err)
	_, err = c.Offers.Get(t.Context(), "offer_1")
	require.ErrorIs(t, err, sparkloop.ErrUnauthorized)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://me:"+apiKey+"@"+apiKey+".example/submission_1?k="+apiKey, nil)
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", apiKey)
	_, err = transport.RoundTrip(r)
	require.NoError(t, err)
	lines := o.shown()
	assert.Equal(t, []string{
		"internal sparkloop list_offers sparkloop.operation=list_offers",
		"client GET /[redacted]/v2/offers http.request.method=GET http.response.status_code=200 server.address=proxy.example server.port=8443 " +
			"url.full=https://proxy.example:8443/[redacted]/v2/offers?page=3 url.template=/[redacted]/v2/offers",
		"internal sparkloop get_offer error.type=unauthorized sparkloop.operation=get_offer Error(unauthorized)",
		"client GET /[redacted]/v2/offers/{offer} error.type=401 http.request.method=GET http.response.status_code=401 server.address=proxy.example server.port=8443 " +
			"url.full=https://proxy.example:8443/[redacted]/v2/offers/offer_1 url.template=/[redacted]/v2/offers/{offer} Error(401)",
	}, lines, "the last request is not over before its body is closed")
	assert.NotContains(t, fmt.Sprintf("%+v", o.spans.GetSpans())+fmt.Sprint(o.figures()), apiKey)
}

func TestARequestEndsWithItsBody(t *testing.T) {
	t.Parallel()
	for name, finish := range map[string]func(*http.Response){
		"closed":          func(r *http.Response) { r.Body.Close() },
		"read":            func(r *http.Response) { _, _ = io.ReadAll(r.Body) },
		"read and closed": func(r *http.Response) { _, _ = io.ReadAll(r.Body); r.Body.Close(); r.Body.Close() },
	} {
		o := newTelemetry(t)
		_, transport := o.client(answers(ok))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://fake:80/submission_1", nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Empty(t, o.shown(), name)
		finish(resp)
		assert.Equal(t, []string{"client GET http.request.method=GET http.response.status_code=200 server.address=fake server.port=80 url.full=http://fake:80/submission_1"}, o.shown(), name)
		assert.Equal(t, []string{"http.client.request.duration http.request.method=GET http.response.status_code=200 server.address=fake server.port=80 1s"}, o.figures(), name)
	}
}

func TestARequestWithoutAnAnswerEnds(t *testing.T) {
	t.Parallel()
	for failure, next := range map[string]roundTrip{
		"no_response": func(*http.Request) (*http.Response, error) { return nil, nil }, //nolint:nilnil // a broken transport
		"panic":       func(*http.Request) (*http.Response, error) { panic(apiKey) },
		"204":         func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 204}, nil },
		"timeout":     func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded },
	} {
		o := newTelemetry(t)
		_, transport := o.client(next)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://fake/offers", nil)
		require.NoError(t, err)
		func() {
			defer func() { _ = recover() }()
			_, _ = transport.RoundTrip(r)
		}()
		lines := o.shown()
		require.Len(t, lines, 1)
		assert.Equal(t, failure != "204", strings.HasSuffix(lines[0], " Error("+failure+")"), lines[0])
	}
}

// A request has no headers besides the client's.
func TestNoTraceContextIsSent(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	var names []string
	c, _ := o.client(roundTrip(func(r *http.Request) (*http.Response, error) {
		for name := range r.Header {
			names = append(names, name)
		}
		return answers(ok)(r)
	}))
	_, err := c.Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"X-Api-Key", "Accept", "User-Agent", "Content-Type"}, names)
}
