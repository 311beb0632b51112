package sparkloopotel

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const (
	scope        = "github.com/sparkloop-go/sparkloop/contrib/sparkloopotel"
	defaultQueue = "sparkloop_outbox"
)

// Option changes a setting of [NewTransport] and [ObserveQueue]. A nil or empty
// value selects the default.
type Option func(*config)

type config struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	queue   string
}

// WithTracerProvider sets the provider of spans. Default:
// otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider sets the provider of metrics. Default:
// otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithQueueName sets the attribute messaging.destination.name, which
// distinguishes queues. It is part of span names. Default: "sparkloop_outbox".
func WithQueueName(name string) Option { return func(c *config) { c.queue = name } }

func configured(opts []Option) config {
	var c config
	for _, o := range opts {
		o(&c)
	}
	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}
	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}
	if c.queue == "" {
		c.queue = defaultQueue
	}
	return c
}

func (c config) tracer() trace.Tracer {
	return c.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (c config) meter() metric.Meter {
	return c.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}
