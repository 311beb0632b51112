package sparkloopotel_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopotel"
)

// telemetry collects what is exported.
type telemetry struct {
	t      *testing.T
	spans  *tracetest.InMemoryExporter
	traces *sdktrace.TracerProvider
	reader *metric.ManualReader
	meters *metric.MeterProvider
}

func newTelemetry(t *testing.T) *telemetry {
	t.Helper()
	o := &telemetry{t: t, spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	o.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans))
	o.meters = metric.NewMeterProvider(metric.WithReader(o.reader))
	return o
}

func (o *telemetry) options(more ...sparkloopotel.Option) []sparkloopotel.Option {
	return append([]sparkloopotel.Option{sparkloopotel.WithTracerProvider(o.traces), sparkloopotel.WithMeterProvider(o.meters)}, more...)
}

func (o *telemetry) client(next http.RoundTripper, opts ...sparkloop.Option) (*sparkloop.Client, *sparkloopotel.Transport) {
	o.t.Helper()
	transport := sparkloopotel.NewTransport(next, o.options()...)
	c, err := sparkloop.New(apiKey, append([]sparkloop.Option{sparkloop.WithHTTPClient(&http.Client{Transport: transport}),
		sparkloop.WithBackoff(1, 2), sparkloop.WithRateLimit(0, 0)}, opts...)...)
	require.NoError(o.t, err)
	return c, transport
}

const apiKey = "the-key-that-nobody-may-see"

// show returns a span in one line: kind, name, attributes, status.
func show(s tracetest.SpanStub) string {
	line := s.SpanKind.String() + " " + s.Name
	for _, a := range sorted(s.Attributes) {
		line += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
	}
	if s.Status.Code != 0 {
		line += " " + s.Status.Code.String() + "(" + s.Status.Description + ")"
	}
	return line
}

func sorted(attrs []attribute.KeyValue) []attribute.KeyValue {
	return slices.SortedFunc(slices.Values(attrs), func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
}

// shown returns the spans in the order of their starts.
func (o *telemetry) shown() (lines []string) {
	spans := o.spans.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	for _, s := range spans {
		lines = append(lines, show(s))
	}
	return lines
}

// figures returns one line per data point: name, attributes, value.
func (o *telemetry) figures() (lines []string) {
	o.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(o.t, o.reader.Collect(o.t.Context(), &all))
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			lines = append(lines, points(m)...)
		}
	}
	slices.Sort(lines)
	return lines
}

func points(m metricdata.Metrics) (lines []string) {
	line := func(attrs attribute.Set, value any) {
		text := m.Name + " "
		for _, a := range attrs.ToSlice() {
			text += fmt.Sprintf("%s=%s ", a.Key, a.Value.String())
		}
		lines = append(lines, text+fmt.Sprint(value, m.Unit))
	}
	switch d := m.Data.(type) {
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Value)
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Value)
		}
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Count)
		}
	default:
		panic(fmt.Sprintf("%T", d))
	}
	return lines
}

func httpClient(rt http.RoundTripper) sparkloop.Option {
	return sparkloop.WithHTTPClient(&http.Client{Transport: rt})
}
