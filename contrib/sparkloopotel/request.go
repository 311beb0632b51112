package sparkloopotel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sparkloop-go/sparkloop/internal/calls"
	"github.com/sparkloop-go/sparkloop/internal/redact"
)

type callKey struct{}

// call counts the requests of a call to the same address.
type call struct {
	mu   sync.Mutex
	path string
	n    int
}

// resends returns how often the call sent this request before.
func resends(r *http.Request) int {
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == r.URL.Path && r.URL.Path != "" {
		c.n++
	} else {
		c.path, c.n = r.URL.Path, 0
	}
	return c.n
}

// request is one request and its span.
type request struct {
	t       *Transport
	ctx     context.Context
	span    trace.Span
	began   time.Time
	attrs   []attribute.KeyValue // of the metric
	refused string               // the status code of a failed request, else ""
	once    sync.Once
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	req := t.begin(r)
	returned := false
	defer func() {
		if !returned {
			req.end("panic")
		}
	}()
	resp, err := t.next.RoundTrip(r.WithContext(req.ctx))
	returned = true
	switch {
	case err != nil:
		req.end(typeOf(err))
		return resp, err
	case resp == nil:
		req.end("no_response")
		return nil, nil //nolint:nilnil // as next did; net/http makes that an error
	}
	status := semconv.HTTPResponseStatusCode(resp.StatusCode)
	req.attrs = append(req.attrs, status)
	req.span.SetAttributes(status)
	if resp.StatusCode < 100 || resp.StatusCode >= 400 {
		req.refused = strconv.Itoa(resp.StatusCode)
	}
	if resp.Body == nil {
		req.end("")
		return resp, nil
	}
	resp.Body = &body{resp.Body, req}
	return resp, nil
}

func (t *Transport) begin(r *http.Request) *request {
	clean := func(s string) string { return s }
	if key := r.Header.Get("X-Api-Key"); key != "" {
		clean = redact.NewKey(key).Redact
	}
	name := r.Method
	attrs := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(r.Method),
		semconv.ServerAddress(clean(r.URL.Hostname())),
		semconv.ServerPort(port(r.URL)),
	}
	if template := clean(calls.Template(r.Method, r.URL.Path)); template != "" {
		name += " " + template
		attrs = append(attrs, semconv.URLTemplate(template))
	}
	full := *r.URL
	full.User = nil
	more := []attribute.KeyValue{semconv.URLFull(clean(full.String()))}
	if n := resends(r); n > 0 {
		more = append(more, semconv.HTTPRequestResendCount(n))
	}
	began := time.Now()
	ctx, span := t.tracer.Start(r.Context(), name, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrs...), trace.WithAttributes(more...))
	return &request{t: t, ctx: ctx, span: span, began: began, attrs: attrs}
}

// end ends the span once. failure is "" unless the request broke off.
func (r *request) end(failure string) {
	r.once.Do(func() {
		if failure == "" {
			failure = r.refused
		}
		if failure != "" {
			fail(r.span, failure)
			r.attrs = append(r.attrs, semconv.ErrorTypeKey.String(failure))
		}
		r.span.End()
		r.t.duration.Record(r.ctx, time.Since(r.began).Seconds(), metric.WithAttributes(r.attrs...))
	})
}

// body ends a request's span when the answer is read or closed.
type body struct {
	io.ReadCloser
	request *request
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch err {
	case nil:
	case io.EOF:
		b.request.end("")
	default:
		b.request.end(typeOf(err))
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.request.end("")
	return err
}

// port returns the port of an address, or the scheme's default port.
func port(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// typeOf returns a short name of an error, or "".
func typeOf(err error) string {
	var slow interface{ Timeout() bool }
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "timeout"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}
