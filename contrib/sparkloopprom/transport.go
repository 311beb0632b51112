package sparkloopprom

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sparkloop-go/sparkloop/internal/calls"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Transport measures the requests of a client. It is an [http.RoundTripper] for
// [sparkloop.WithHTTPClient] and a [prometheus.Collector] for a registry. It is
// safe for concurrent use.
type Transport struct {
	next     http.RoundTripper
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

var (
	_ prometheus.Collector = (*Transport)(nil)
	_ calls.Tracer         = (*Transport)(nil)
)

// NewTransport returns a transport that sends requests through next. If next is
// nil, it uses the transport of a client without [sparkloop.WithHTTPClient].
// Share one Transport among all clients of a program, or register each with a
// label.
func NewTransport(next http.RoundTripper) *Transport {
	if next == nil {
		next = transport.NewClient().Transport
	}
	t := &Transport{
		next: transport.NewDirect(next),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sparkloop_client_requests_total",
			Help: "Requests to SparkLoop, retries included, by operation and status class.",
		}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sparkloop_client_request_duration_seconds",
			Help:    "Time of a request to SparkLoop, until the header of the answer or the error.",
			Buckets: []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15},
		}, []string{"operation"}),
	}
	// increase() misses a counter that first appears as 1.
	for _, operation := range []string{calls.Confirm, calls.GetOffer, calls.ListOffers} {
		t.duration.WithLabelValues(operation)
		for _, code := range []string{"2xx", "3xx", "4xx", "401", "429", "5xx", "error", "canceled"} {
			t.requests.WithLabelValues(operation, code)
		}
	}
	return t
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	operation := calls.Operation(r.Method, r.URL.Path)
	if operation == "" {
		operation = "other"
	}
	began, code := time.Now(), "error" // also if next panics
	defer func() {
		t.duration.WithLabelValues(operation).Observe(time.Since(began).Seconds())
		t.requests.WithLabelValues(operation, code).Inc()
	}()
	resp, err := t.next.RoundTrip(r)
	code = class(r, resp, err)
	return resp, err
}

// class returns the value of the label code.
func class(r *http.Request, resp *http.Response, err error) string {
	switch {
	case err != nil && errors.Is(r.Context().Err(), context.Canceled):
		return "canceled"
	case err != nil || resp == nil || resp.StatusCode < 200 || resp.StatusCode > 599:
		return "error"
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusTooManyRequests:
		return strconv.Itoa(resp.StatusCode)
	}
	return strconv.Itoa(resp.StatusCode/100) + "xx"
}

// TraceCall passes calls to next if it traces them, as package sparkloopotel's
// Transport does.
func (t *Transport) TraceCall(ctx context.Context, operation string) (context.Context, func(failure string)) {
	if tracer, ok := t.next.(calls.Tracer); ok {
		return tracer.TraceCall(ctx, operation)
	}
	return ctx, func(string) {}
}

// Describe implements [prometheus.Collector].
func (t *Transport) Describe(ch chan<- *prometheus.Desc) {
	t.requests.Describe(ch)
	t.duration.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (t *Transport) Collect(ch chan<- prometheus.Metric) {
	t.requests.Collect(ch)
	t.duration.Collect(ch)
}
