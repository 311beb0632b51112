package sparkloopprom_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// A client, a queue, and their metrics at /metrics.
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

	transport := sparkloopprom.NewTransport(nil)
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

	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(transport, sparkloopprom.NewCollector(queue))
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	// A conversion is enqueued and delivered. Then Prometheus scrapes.
	_, tracking := api.Click("", "https://shop.example/welcome")
	if err := queue.Enqueue(ctx, tracking); err != nil {
		fmt.Println(err)
		return
	}
	for queue.Delivered().Confirmed == 0 {
		time.Sleep(time.Millisecond)
	}
	page := httptest.NewRecorder()
	metrics.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "sparkloop_outbox_conversions") || strings.Contains(line, `requests_total{code="2xx",operation="confirm"`) {
			fmt.Print(line)
		}
	}
	// Output:
	// sparkloop_client_requests_total{code="2xx",operation="confirm"} 1
	// sparkloop_outbox_conversions{state="confirmed"} 1
	// sparkloop_outbox_conversions{state="dead"} 0
	// sparkloop_outbox_conversions{state="expired"} 0
	// sparkloop_outbox_conversions{state="pending"} 0
}

// Two queues in one process need a label each. The alert rules and the
// dashboard expect the label's name to be queue.
func ExampleNewCollector_twoQueues() {
	register := func(registry prometheus.Registerer, name string, q outbox.Queue) {
		registry = prometheus.WrapRegistererWith(prometheus.Labels{"queue": name}, registry)
		registry.MustRegister(sparkloopprom.NewCollector(q))
	}
	registry := prometheus.NewRegistry()
	register(registry, "eu", &fake{stats: figures(outbox.Stats{Time: noon, Pending: 3})})
	register(registry, "us", &fake{stats: figures(outbox.Stats{Time: noon, Pending: 5})})

	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, family := range families {
		if family.GetName() == "sparkloop_outbox_up" {
			for _, metric := range family.GetMetric() {
				fmt.Println(metric.GetLabel()[0].GetValue(), metric.GetGauge().GetValue())
			}
		}
	}
	// Output:
	// eu 1
	// us 1
}

// Without an outbox: the transport measures each request of a client.
func ExampleNewTransport() {
	api, err := sparklooptest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()
	transport := sparkloopprom.NewTransport(nil)
	client, err := sparkloop.New("wrong-key", sparkloop.WithBaseURL(api.URL()),
		sparkloop.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(transport)

	_, err = client.Offers.List(context.Background(), sparkloop.ListOffersParams{})
	fmt.Println(err != nil)
	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetCounter().GetValue() > 0 {
				for _, label := range metric.GetLabel() {
					fmt.Println(label.GetName(), label.GetValue())
				}
			}
		}
	}
	// Output:
	// true
	// code 401
	// operation list_offers
}
