package sparkloopotel

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sparkloop-go/sparkloop/internal/bounded"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// readMost limits how long a collection of metrics waits for the database.
const readMost = 5 * time.Second

// counting is a queue that counts its deliveries, as both engines do.
type counting interface{ Delivered() outbox.Delivered }

// ObserveQueue reports the figures of a queue at each collection of metrics:
//
//   - sparkloop.outbox.up: 1 if the database could be read within 5 seconds,
//     else 0. With 0, all other gauges are omitted, and the error goes to
//     OpenTelemetry's error handler.
//   - sparkloop.outbox.conversions: rows by sparkloop.state (pending, confirmed,
//     dead, expired). Confirmed rows are deleted after [outbox.Options].Keep.
//   - sparkloop.outbox.confirmed.last_hour: conversions confirmed in the last 60
//     minutes, by all processes.
//   - sparkloop.outbox.swept.conversions: rows found only by Options.Source.
//   - sparkloop.outbox.oldest_pending.age: in seconds; 0 if none is pending.
//   - sparkloop.outbox.last_died.timestamp: the latest time at which a currently
//     dead or expired conversion entered its state, in seconds since 1970; 0 if
//     there is none.
//   - sparkloop.outbox.paused: 1 if the queue or this process is paused, else 0.
//   - sparkloop.outbox.pause.duration: in seconds; 0 if there is no pause.
//   - sparkloop.outbox.deliveries: a counter of this process, by
//     sparkloop.outcome (confirmed, dead, expired, retried). The queue needs a
//     method Delivered, as both engines have.
//
// All have the attributes messaging.system and messaging.destination.name. All
// processes on one database report the same rows: take the maximum of the
// gauges, not the sum.
//
// ObserveQueue returns an error if q is nil. Unregister the result before you
// observe another queue of the same name.
func ObserveQueue(q outbox.Queue, opts ...Option) (metric.Registration, error) {
	if v := reflect.ValueOf(q); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("sparkloopotel: ObserveQueue: the queue is nil")
	}
	c := configured(opts)
	queue := attribute.NewSet(semconv.MessagingSystemKey.String("sparkloop"), semconv.MessagingDestinationName(c.queue))
	with := func(key string, value any) metric.ObserveOption {
		return metric.WithAttributes(append(queue.ToSlice(), attribute.String(key, fmt.Sprint(value)))...)
	}
	state := func(s outbox.State) metric.ObserveOption { return with("sparkloop.state", s) }
	outcome := func(name any) metric.ObserveOption { return with("sparkloop.outcome", name) }
	plain := metric.WithAttributeSet(queue)

	i := instruments{meter: c.meter()}
	up := i.gauge("up", "", "Whether the queue's database could be read (1) or not (0).")
	conversions := i.gauge("conversions", "{conversion}", "Conversions in the database, by state.")
	lastHour := i.gauge("confirmed.last_hour", "{conversion}", "Conversions confirmed in the last 60 minutes, by all processes.")
	swept := i.gauge("swept.conversions", "{conversion}", "Conversions in the database found only by Options.Source.")
	oldest := i.seconds("oldest_pending.age", "Time since the oldest pending conversion was enqueued; 0 if none is pending.")
	lastDied := i.seconds("last_died.timestamp", "Latest time at which a currently dead or expired conversion entered its state; 0 if there is none.")
	paused := i.gauge("paused", "", "Whether the queue, or this process alone, is paused (1) or not (0).")
	pause := i.seconds("pause.duration", "Time since the queue paused; 0 if it is not paused.")
	deliveries := i.counter("deliveries", "{attempt}", "Attempts of this process, by outcome.")
	if err := errors.Join(i.errs...); err != nil {
		return nil, fmt.Errorf("sparkloopotel: ObserveQueue: %w", err)
	}

	stats := bounded.New(readMost, q.Stats)
	return i.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		if q, ok := q.(counting); ok { // from memory, available without the database
			n := q.Delivered()
			o.ObserveInt64(deliveries, n.Confirmed, outcome(outbox.Confirmed))
			o.ObserveInt64(deliveries, n.Dead, outcome(outbox.Dead))
			o.ObserveInt64(deliveries, n.Expired, outcome(outbox.Expired))
			o.ObserveInt64(deliveries, n.Retried, outcome("retried"))
		}
		s, err := stats.Get(ctx)
		if err != nil {
			o.ObserveInt64(up, 0, plain)
			// A returned error would stop the export of all metrics of the
			// process.
			otel.Handle(fmt.Errorf("sparkloopotel: queue %s cannot be read: %w", c.queue, err))
			return nil
		}
		o.ObserveInt64(up, 1, plain)
		o.ObserveInt64(conversions, int64(s.Pending), state(outbox.Pending))
		o.ObserveInt64(conversions, int64(s.Confirmed), state(outbox.Confirmed))
		o.ObserveInt64(conversions, int64(s.Dead), state(outbox.Dead))
		o.ObserveInt64(conversions, int64(s.Expired), state(outbox.Expired))
		o.ObserveInt64(lastHour, int64(s.ConfirmedByHour[len(s.ConfirmedByHour)-1]), plain)
		o.ObserveInt64(swept, int64(s.Swept), plain)
		o.ObserveFloat64(oldest, since(s.Time, s.OldestPending), plain)
		o.ObserveFloat64(lastDied, unix(s.LastDied), plain)
		o.ObserveInt64(paused, is(!s.PausedSince.IsZero()), plain)
		o.ObserveFloat64(pause, since(s.Time, s.PausedSince), plain)
		return nil
	}, i.all...)
}

// instruments creates instruments, and keeps the first error.
type instruments struct {
	meter metric.Meter
	all   []metric.Observable
	errs  []error
}

func (i *instruments) gauge(name, unit, text string) metric.Int64ObservableGauge {
	made, err := i.meter.Int64ObservableGauge("sparkloop.outbox."+name, metric.WithUnit(unit), metric.WithDescription(text))
	i.all, i.errs = append(i.all, made), append(i.errs, err)
	return made
}

func (i *instruments) seconds(name, text string) metric.Float64ObservableGauge {
	made, err := i.meter.Float64ObservableGauge("sparkloop.outbox."+name, metric.WithUnit("s"), metric.WithDescription(text))
	i.all, i.errs = append(i.all, made), append(i.errs, err)
	return made
}

func (i *instruments) counter(name, unit, text string) metric.Int64ObservableCounter {
	made, err := i.meter.Int64ObservableCounter("sparkloop.outbox."+name, metric.WithUnit(unit), metric.WithDescription(text))
	i.all, i.errs = append(i.all, made), append(i.errs, err)
	return made
}

func is(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// since returns 0 for the zero time. It also returns 0 for a time in the
// future, because the clock may have been set back.
func since(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Seconds(), 0)
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
