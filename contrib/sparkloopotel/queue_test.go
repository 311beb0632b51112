package sparkloopotel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopotel"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// fake is a queue that only implements Stats.
type fake struct {
	outbox.Queue
	stats func(context.Context) (outbox.Stats, error)
}

func (f *fake) Stats(ctx context.Context) (outbox.Stats, error) { return f.stats(ctx) }

// counted is a fake that counts deliveries.
type counted struct{ fake }

func (*counted) Delivered() outbox.Delivered {
	return outbox.Delivered{Confirmed: 7, Dead: 2, Expired: 1, Retried: 9}
}

func TestObserveQueueShowsEachFigure(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	q := &counted{fake{stats: func(context.Context) (outbox.Stats, error) {
		return outbox.Stats{
			Time: noon, Pending: 3, Confirmed: 1000, Dead: 4, Expired: 5, Swept: 6,
			OldestPending: noon.Add(-90 * time.Second), LastDied: noon.Add(-1500 * time.Millisecond),
			PausedSince: noon.Add(-time.Minute), PausedReason: "offer_secret 401", ConfirmedByHour: [24]int{22: 50, 23: 8},
		}, nil
	}}}
	registration, err := sparkloopotel.ObserveQueue(q, o.options(sparkloopotel.WithQueueName("eu"))...)
	require.NoError(t, err)
	const of = " messaging.destination.name=eu messaging.system=sparkloop "
	assert.Equal(t, []string{
		"sparkloop.outbox.confirmed.last_hour" + of + "8{conversion}",
		"sparkloop.outbox.conversions" + of + "sparkloop.state=confirmed 1000{conversion}",
		"sparkloop.outbox.conversions" + of + "sparkloop.state=dead 4{conversion}",
		"sparkloop.outbox.conversions" + of + "sparkloop.state=expired 5{conversion}",
		"sparkloop.outbox.conversions" + of + "sparkloop.state=pending 3{conversion}",
		"sparkloop.outbox.deliveries" + of + "sparkloop.outcome=confirmed 7{attempt}",
		"sparkloop.outbox.deliveries" + of + "sparkloop.outcome=dead 2{attempt}",
		"sparkloop.outbox.deliveries" + of + "sparkloop.outcome=expired 1{attempt}",
		"sparkloop.outbox.deliveries" + of + "sparkloop.outcome=retried 9{attempt}",
		"sparkloop.outbox.last_died.timestamp" + of + "1.7956079985e+09s",
		"sparkloop.outbox.oldest_pending.age" + of + "90s",
		"sparkloop.outbox.pause.duration" + of + "60s",
		"sparkloop.outbox.paused" + of + "1",
		"sparkloop.outbox.swept.conversions" + of + "6{conversion}",
		"sparkloop.outbox.up" + of + "1",
	}, trimmed(o.figures()))

	require.NoError(t, registration.Unregister())
	assert.Empty(t, o.figures())
}

func trimmed(lines []string) []string {
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// An unreadable queue exports no old figures, and does not stop the export of
// other metrics.
func TestObserveQueueThatCannotBeRead(t *testing.T) { //nolint:paralleltest // the error handler is global
	var handled []string
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { handled = append(handled, err.Error()) }))
	t.Cleanup(func() { otel.SetErrorHandler(before) })

	exporter := &exporter{}
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(exporter)))
	defer meters.Shutdown(context.Background()) //nolint:errcheck // a test's
	other, err := meters.Meter("test").Int64Counter("other")
	require.NoError(t, err)
	other.Add(t.Context(), 1)
	q := &fake{stats: func(context.Context) (outbox.Stats, error) { return outbox.Stats{Pending: 3}, nil }}
	_, err = sparkloopotel.ObserveQueue(q, sparkloopotel.WithMeterProvider(meters))
	require.NoError(t, err)
	export := func() string {
		exporter.points = nil
		require.NoError(t, meters.ForceFlush(t.Context()))
		return strings.Join(exporter.points, "\n")
	}
	require.Contains(t, export(), "sparkloop.state=pending 3")
	for _, broken := range []func(context.Context) (outbox.Stats, error){
		func(context.Context) (outbox.Stats, error) {
			return outbox.Stats{Pending: 3}, errors.New("database is locked")
		},
		func(context.Context) (outbox.Stats, error) { panic("no database") },
	} {
		q.stats = broken
		points := export()
		assert.Contains(t, points, "sparkloop.outbox.up messaging.destination.name=sparkloop_outbox messaging.system=sparkloop 0")
		assert.Contains(t, points, "other 1")
		assert.Equal(t, 1, strings.Count(points, "\n"), points)
	}
	assert.Equal(t, []string{
		"sparkloopotel: queue sparkloop_outbox cannot be read: database is locked",
		"sparkloopotel: queue sparkloop_outbox cannot be read: the read panicked: no database",
	}, handled)
}

type exporter struct {
	metric.Exporter
	points []string
}

func (*exporter) Temporality(k metric.InstrumentKind) metricdata.Temporality {
	return metric.DefaultTemporalitySelector(k)
}

func (*exporter) Aggregation(k metric.InstrumentKind) metric.Aggregation {
	return metric.DefaultAggregationSelector(k)
}

func (e *exporter) Export(_ context.Context, all *metricdata.ResourceMetrics) error {
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			e.points = append(e.points, points(m)...)
		}
	}
	return nil
}

func (*exporter) ForceFlush(context.Context) error { return nil }
func (*exporter) Shutdown(context.Context) error   { return nil }

func TestObserveQueueBoundsACollection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry(t)
		hang := make(chan struct{})
		defer close(hang)
		q := &fake{stats: func(context.Context) (outbox.Stats, error) { <-hang; return outbox.Stats{}, nil }}
		_, err := sparkloopotel.ObserveQueue(q, o.options()...)
		require.NoError(t, err)
		began := time.Now()
		for range 3 {
			assert.Len(t, o.figures(), 1)
		}
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestObserveQueueNeedsAQueue(t *testing.T) {
	t.Parallel()
	var failed *sqliteoutbox.Outbox // of an Open whose error was ignored
	for _, q := range []outbox.Queue{nil, failed} {
		_, err := sparkloopotel.ObserveQueue(q)
		require.EqualError(t, err, "sparkloopotel: ObserveQueue: the queue is nil")
	}
}

// The delivery is a consumer span in its own trace, with a link to the span of
// Enqueue. The attempts are its children.
func TestDeliveryIsLinkedToEnqueue(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	api := sparklooptest.NewServer(t)
	transport := sparkloopotel.NewTransport(api.Transport(), o.options()...)
	boot, booting := o.traces.Tracer("test").Start(t.Context(), "start of the program")
	q, err := sqliteoutbox.Open(boot, filepath.Join(t.TempDir(), "sparkloop.db"), api.Client(httpClient(transport)), outbox.Options{
		RetryMin: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	booting.End()
	_, tracking := api.Click("", "https://shop.example/")
	_, other := api.Click("", "https://shop.example/")
	api.Fail(sparklooptest.Status(503, ""), 1) // the first attempt

	ctx, checkout := o.traces.Tracer("test").Start(t.Context(), "checkout")
	for range 2 { // already known the second time
		require.NoError(t, transport.Enqueue(ctx, tracking, func(ctx context.Context) error {
			assert.NotEqual(t, checkout.SpanContext().SpanID(), trace.SpanContextFromContext(ctx).SpanID())
			return q.Enqueue(ctx, tracking)
		}))
	}
	require.Eventually(t, func() bool { return q.Delivered() == outbox.Delivered{Retried: 1, Confirmed: 1} }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, q.Enqueue(ctx, other)) // without a span
	require.Eventually(t, func() bool { return q.Delivered().Confirmed == 2 }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, q.Close(t.Context()))

	var enqueued, deliveries, tries []tracetest.SpanStub
	for _, s := range o.spans.GetSpans() {
		switch s.SpanKind {
		case trace.SpanKindProducer:
			enqueued = append(enqueued, s)
		case trace.SpanKindConsumer:
			deliveries = append(deliveries, s)
		case trace.SpanKindClient:
			tries = append(tries, s)
		}
		assert.NotContains(t, s.Name, tracking.Offer)
		assert.NotContains(t, s.Name, tracking.Submission)
		assert.NotContains(t, fmt.Sprintf("%+v", s), sparklooptest.APIKey)
	}
	require.Len(t, enqueued, 2)
	require.Len(t, deliveries, 3)
	require.Len(t, tries, 3)
	const messaging = " messaging.destination.name=sparkloop_outbox messaging.operation.name=process messaging.operation.type=process messaging.system=sparkloop sparkloop.operation=confirm"
	assert.Equal(t, "producer enqueue sparkloop_outbox messaging.destination.name=sparkloop_outbox messaging.operation.name=enqueue messaging.operation.type=send messaging.system=sparkloop", show(enqueued[0]))
	assert.Equal(t, checkout.SpanContext().SpanID(), enqueued[0].Parent.SpanID())
	assert.Equal(t, "consumer process sparkloop_outbox error.type=503"+messaging+" Error(503)", show(deliveries[0]))
	assert.Equal(t, "consumer process sparkloop_outbox"+messaging, show(deliveries[1]))
	for i, d := range deliveries {
		assert.False(t, d.Parent.IsValid(), "a trace of its own")
		assert.Equal(t, d.SpanContext.SpanID(), tries[i].Parent.SpanID())
		if i == 2 {
			assert.Empty(t, d.Links)
			continue
		}
		require.Len(t, d.Links, 1)
		assert.Equal(t, enqueued[0].SpanContext.SpanID(), d.Links[0].SpanContext.SpanID())
	}
}

func TestEnqueueShowsAFailure(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	_, transport := o.client(nil)
	full := errors.New("disk full: " + apiKey)
	err := transport.Enqueue(t.Context(), tracking, func(context.Context) error { return fmt.Errorf("enqueue: %w", full) })
	require.ErrorIs(t, err, full)
	require.NoError(t, transport.Enqueue(t.Context(), sparkloop.Tracking{}, func(context.Context) error { return nil }))
	assert.Panics(t, func() {
		_ = transport.Enqueue(t.Context(), tracking, func(context.Context) error { panic("a handler's own") })
	})
	lines := o.shown()
	require.Len(t, lines, 3)
	assert.Contains(t, lines[0], " Error(*errors.errorString)")
	assert.NotContains(t, lines[1], "Error")
	assert.Contains(t, lines[2], " Error(panic)")
	assert.NotContains(t, fmt.Sprintf("%+v", o.spans.GetSpans()), apiKey)
}
