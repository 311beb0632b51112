package sparkloopotel_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopotel"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// A purchase, and the delivery of its conversion in the background.
func Example() {
	api, err := sparklooptest.Start() // replaces SparkLoop
	if err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	// Your program already has its providers: omit the options to use the
	// global ones.
	spans := tracetest.NewInMemoryExporter()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	transport := sparkloopotel.NewTransport(nil, sparkloopotel.WithTracerProvider(traces))
	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(api.URL()),
		sparkloop.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		fmt.Println(err)
		return
	}
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), client, outbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close(ctx)

	_, tracking := api.Click("", "https://shop.example/welcome")
	err = transport.Enqueue(ctx, tracking, func(ctx context.Context) error {
		return queue.Enqueue(ctx, tracking)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for queue.Delivered().Confirmed == 0 {
		time.Sleep(time.Millisecond)
	}
	kinds := map[string]tracetest.SpanStub{}
	for _, span := range spans.GetSpans() {
		kinds[span.SpanKind.String()] = span
	}
	enqueued, delivered, request := kinds["producer"], kinds["consumer"], kinds["client"]
	fmt.Println(enqueued.Name)
	fmt.Println(delivered.Name, delivered.Links[0].SpanContext.SpanID() == enqueued.SpanContext.SpanID())
	fmt.Println(request.Name, request.Parent.SpanID() == delivered.SpanContext.SpanID())
	// Output:
	// enqueue sparkloop_outbox
	// process sparkloop_outbox true
	// POST /api/v2/offers/{offer}/submissions/{submission}/conversion true
}

// The figures of a queue, at each collection of metrics.
func ExampleObserveQueue() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	client, err := sparkloop.New("key")
	if err != nil {
		fmt.Println(err)
		return
	}
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), client, outbox.Options{Workers: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close(ctx)

	reader := metric.NewManualReader() // or a PeriodicReader with an exporter
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	if _, err := sparkloopotel.ObserveQueue(queue, sparkloopotel.WithMeterProvider(meters)); err != nil {
		fmt.Println(err)
		return
	}

	if err := queue.Enqueue(ctx, sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1"}); err != nil {
		fmt.Println(err)
		return
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name == "sparkloop.outbox.conversions" {
			for _, point := range m.Data.(metricdata.Gauge[int64]).DataPoints {
				state, _ := point.Attributes.Value("sparkloop.state")
				fmt.Println(state.AsString(), point.Value)
			}
		}
	}
	// Unordered output:
	// pending 1
	// confirmed 0
	// dead 0
	// expired 0
}
