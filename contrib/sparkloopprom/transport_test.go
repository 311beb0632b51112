package sparkloopprom_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}
}

const confirmURL = "https://api.sparkloop.app/v2/offers/offer_1/submissions/submission_1/conversion"

// moved returns the counters of a transport that are not 0.
func moved(t *testing.T, transport *sparkloopprom.Transport) (counters []string) {
	t.Helper()
	for _, line := range scrape(t, transport) {
		if strings.HasPrefix(line, "sparkloop_client_requests_total") && !strings.HasSuffix(line, " 0") {
			counters = append(counters, strings.TrimPrefix(line, "sparkloop_client_requests_total"))
		}
	}
	return counters
}

func TestTransportCountsByClass(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]string{
		0: "error", 101: "error", 200: "2xx", 204: "2xx", 302: "3xx", 400: "4xx", 401: "401", 404: "4xx", 422: "4xx",
		429: "429", 499: "4xx", 500: "5xx", 503: "5xx", 599: "5xx", 600: "error", 999: "error",
	} {
		transport := sparkloopprom.NewTransport(answer(status))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, confirmURL, nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, status, resp.StatusCode)
		assert.Equal(t, []string{`{code="` + code + `",operation="confirm"} 1`}, moved(t, transport))
		assert.Contains(t, scrape(t, transport), `sparkloop_client_request_duration_seconds_count{operation="confirm"} 1`)
	}
}

func TestTransportCountsWhatHasNoAnswer(t *testing.T) {
	t.Parallel()
	reset := errors.New("reset")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx    context.Context
		fails  roundTrip
		counts string
	}{
		{t.Context(), func(*http.Request) (*http.Response, error) { return nil, reset }, `{code="error",operation="confirm"} 1`},
		{ended, func(r *http.Request) (*http.Response, error) { return nil, r.Context().Err() }, `{code="canceled",operation="confirm"} 1`},
		{ended, answer(200), `{code="2xx",operation="confirm"} 1`},
		{t.Context(), func(*http.Request) (*http.Response, error) { panic("next's own") }, `{code="error",operation="confirm"} 1`},
	} {
		transport := sparkloopprom.NewTransport(tt.fails)
		r, err := http.NewRequestWithContext(tt.ctx, http.MethodPost, confirmURL, nil)
		require.NoError(t, err)
		func() {
			defer func() { _ = recover() }()
			_, _ = transport.RoundTrip(r)
		}()
		assert.Equal(t, []string{tt.counts}, moved(t, transport))
	}
}

// Calls are counted by operation, with retries. A request that no client sends
// is "other", whatever its path.
func TestTransportCountsByOperation(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	transport := sparkloopprom.NewTransport(api.Transport())
	c := api.Client(httpClient(transport))
	_, tracking := api.Click("", "https://shop.example/")
	api.Fail(sparklooptest.Status(503, ""), 1)
	_, err := c.Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	_, err = c.Offers.Get(t.Context(), tracking.Offer)
	require.NoError(t, err)
	_, err = c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.NoError(t, err)
	stranger, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://host.example/submission_1", nil)
	require.NoError(t, err)
	_, _ = transport.RoundTrip(stranger)
	counters := moved(t, transport)
	for _, want := range []string{
		`{code="2xx",operation="confirm"} 1`, `{code="5xx",operation="confirm"} 1`,
		`{code="2xx",operation="get_offer"} 1`, `{code="2xx",operation="list_offers"} 1`,
	} {
		assert.Contains(t, counters, want)
	}
	assert.Len(t, counters, 5)
	all := strings.Join(scrape(t, transport), "\n")
	assert.Contains(t, all, `operation="other"`)
	assert.NotContains(t, all, "submission_1")
	assert.NotContains(t, all, tracking.Offer)
}

// traced is a transport that traces calls.
type traced struct{ roundTrip }

type key struct{}

func (traced) TraceCall(ctx context.Context, operation string) (context.Context, func(string)) {
	return context.WithValue(ctx, key{}, operation), func(string) {}
}

func TestTransportLetsCallsThroughToATracer(t *testing.T) {
	t.Parallel()
	var seen any
	inner := traced{func(r *http.Request) (*http.Response, error) {
		seen = r.Context().Value(key{})
		return answer(401)(r)
	}}
	for _, next := range []http.RoundTripper{inner, inner.roundTrip} {
		seen = nil
		c, err := sparkloop.New("key", httpClient(sparkloopprom.NewTransport(next)))
		require.NoError(t, err)
		_, err = c.Offers.Get(t.Context(), "offer_1")
		require.ErrorIs(t, err, sparkloop.ErrUnauthorized)
		_, ok := next.(traced)
		assert.Equal(t, ok, seen == "get_offer")
	}
}
