package sparkloopprom

import (
	"context"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sparkloop-go/sparkloop/internal/bounded"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// readMost limits how long a scrape waits for the database. By default
// Prometheus waits 10 s for all metrics of a process.
const readMost = 5 * time.Second

// counting is a queue that counts its deliveries, as both engines do.
type counting interface{ Delivered() outbox.Delivered }

type collector struct {
	queue outbox.Queue
	stats *bounded.Reader[outbox.Stats]
}

// NewCollector returns the metrics of a queue. A scrape takes at most 5
// seconds. If the queue cannot be read in that time, sparkloop_outbox_up is 0
// and the other gauges are omitted. Concurrent scrapes share one read.
//
// sparkloop_outbox_deliveries_total needs a queue with a method Delivered, as
// both engines have. NewCollector panics if q is nil.
func NewCollector(q outbox.Queue) prometheus.Collector {
	if v := reflect.ValueOf(q); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		panic("sparkloopprom: NewCollector: the queue is nil")
	}
	return &collector{queue: q, stats: bounded.New(readMost, q.Stats)}
}

var (
	up          = describe("up", "Whether the queue's database could be read (1) or not (0).")
	conversions = describe("conversions", "Conversions in the database, by state. Confirmed rows are deleted after Options.Keep.", "state")
	lastHour    = describe("confirmed_last_hour", "Conversions confirmed in the last 60 minutes, by all processes.")
	swept       = describe("swept_conversions", "Conversions in the database found only by Options.Source.")
	oldest      = describe("oldest_pending_age_seconds", "Time since the oldest pending conversion was enqueued; 0 if none is pending.")
	lastDied    = describe("last_died_timestamp_seconds", "Latest time at which a currently dead or expired conversion entered its state; 0 if there is none.")
	paused      = describe("paused", "Whether the queue, or this process alone, is paused (1) or not (0).")
	pause       = describe("pause_duration_seconds", "Time since the queue paused; 0 if it is not paused.")
	deliveries  = describe("deliveries_total", "Attempts of this process by outcome: confirmed, dead, expired, or retried if the conversion stays pending.", "outcome")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sparkloop_outbox_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, conversions, lastHour, swept, oldest, lastDied, paused, pause} {
		ch <- d
	}
	if _, ok := c.queue.(counting); ok {
		ch <- deliveries
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	if q, ok := c.queue.(counting); ok { // from memory, available without the database
		n := q.Delivered()
		send(deliveries, prometheus.CounterValue, float64(n.Confirmed), string(outbox.Confirmed))
		send(deliveries, prometheus.CounterValue, float64(n.Dead), string(outbox.Dead))
		send(deliveries, prometheus.CounterValue, float64(n.Expired), string(outbox.Expired))
		send(deliveries, prometheus.CounterValue, float64(n.Retried), "retried")
	}
	s, err := c.stats.Get(context.Background())
	if err != nil {
		send(up, prometheus.GaugeValue, 0)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }
	gauge(up, 1)
	gauge(conversions, float64(s.Pending), string(outbox.Pending))
	gauge(conversions, float64(s.Confirmed), string(outbox.Confirmed))
	gauge(conversions, float64(s.Dead), string(outbox.Dead))
	gauge(conversions, float64(s.Expired), string(outbox.Expired))
	gauge(lastHour, float64(s.ConfirmedByHour[len(s.ConfirmedByHour)-1]))
	gauge(swept, float64(s.Swept))
	gauge(oldest, since(s.Time, s.OldestPending))
	gauge(lastDied, seconds(s.LastDied))
	gauge(paused, is(!s.PausedSince.IsZero()))
	gauge(pause, since(s.Time, s.PausedSince))
}

func is(yes bool) float64 {
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

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
