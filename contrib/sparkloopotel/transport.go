package sparkloopotel

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/calls"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Transport creates the spans and metrics of a client. It is an
// [http.RoundTripper] for [sparkloop.WithHTTPClient], and safe for concurrent
// use.
type Transport struct {
	next     http.RoundTripper
	tracer   trace.Tracer
	duration metric.Float64Histogram
	queue    string
	origins  *origins
}

var _ calls.Tracer = (*Transport)(nil)

// NewTransport returns a transport that sends requests through next. If next is
// nil, it uses the transport of a client without [sparkloop.WithHTTPClient].
//
// Only a client's outermost RoundTripper observes whole calls. Give the
// Transport to the client, and other RoundTrippers to next. Package
// sparkloopprom's Transport may be outermost instead, with this one as its
// next.
func NewTransport(next http.RoundTripper, opts ...Option) *Transport {
	if next == nil {
		next = transport.NewClient().Transport
	}
	c := configured(opts)
	duration, err := c.meter().Float64Histogram("http.client.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of HTTP client requests."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		otel.Handle(err)
	}
	return &Transport{
		next:     transport.NewDirect(next),
		tracer:   c.tracer(),
		duration: duration,
		queue:    c.queue,
		origins:  newOrigins(),
	}
}

// TraceCall begins the span of a call. The client calls it.
func (t *Transport) TraceCall(ctx context.Context, operation string) (context.Context, func(failure string)) {
	name := "sparkloop " + operation
	attrs := []attribute.KeyValue{attribute.String("sparkloop.operation", operation)}
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal)}
	key, delivery := calls.Delivery(ctx)
	if delivery {
		name = "process " + t.queue
		attrs = append(attrs, messaging(t.queue, "process", semconv.MessagingOperationTypeProcess)...)
		opts = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithNewRoot()}
		if origin, ok := t.origins.get(key); ok {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: origin}))
		}
	}
	ctx, span := t.tracer.Start(ctx, name, append(opts, trace.WithAttributes(attrs...))...)
	return context.WithValue(ctx, callKey{}, new(call)), func(failure string) {
		if failure != "" {
			fail(span, failure)
		} else if delivery {
			t.origins.remove(key)
		}
		span.End()
	}
}

// Enqueue calls enqueue within a span and returns its error. enqueue must store
// tracking in the queue of this client. If this process delivers the
// conversion, the delivery's span has a link to this span.
func (t *Transport) Enqueue(ctx context.Context, tracking sparkloop.Tracking, enqueue func(context.Context) error) error {
	ctx, span := t.tracer.Start(ctx, "enqueue "+t.queue, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(messaging(t.queue, "enqueue", semconv.MessagingOperationTypeSend)...))
	failure := "panic"
	defer func() {
		if failure != "" {
			fail(span, failure)
		}
		span.End()
	}()
	// The delivery may begin before enqueue returns.
	if !tracking.IsZero() && span.SpanContext().IsValid() {
		t.origins.put(tracking.Key(), span.SpanContext())
	}
	err := enqueue(ctx)
	failure = typeOf(err)
	return err
}

func messaging(queue, operation string, kind attribute.KeyValue) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String("sparkloop"),
		semconv.MessagingDestinationName(queue),
		semconv.MessagingOperationName(operation),
		kind,
	}
}

// fail marks a span as failed. failure is a short name, because an error's text
// may contain the key.
func fail(span trace.Span, failure string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(failure))
	span.SetStatus(codes.Error, failure)
}
