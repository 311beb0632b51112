package conformance

import (
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// outages tests long outages with the default options.
func outages() []story {
	return []story{
		{"DownForThreeDays", downForThreeDays},
		{"KeyWrongForADay", keyWrongForADay},
		{"LimitFullForADay", limitFullForADay},
	}
}

// usual are the default times.
func usual() outbox.Options {
	return outbox.Options{RetryMin: 5 * time.Second, RetryMax: time.Hour}
}

// stands lets time pass in steps. In each step it waits for a retry, and asserts
// that all conversions are still pending.
func (w *world) stands(p *process, steps int, step time.Duration) {
	w.t.Helper()
	pending := p.stats().Pending
	for range steps {
		n := w.wire.count()
		w.pass(step)
		w.until("it is retried", func() bool { return w.wire.count() > n })
	}
	s := p.stats()
	assert.Equal(w.t, pending, s.Pending)
	assert.Zero(w.t, s.Dead+s.Expired)
}

func downForThreeDays(w *world) {
	p := w.open(usual())
	const all = 20
	p.enqueue(w.clicks(all)...)
	p.delivered(all)
	w.pause(p, sparklooptest.Reset(), all)
	w.stands(p, 1, day)
	w.fail(sparklooptest.Status(503, ""))
	w.stands(p, 1, day)
	w.fail(sparklooptest.HTMLPage())
	w.stands(p, 1, day)
	w.recover()
	p.deliveredIn(time.Minute, 2*all)
	_, _, paused := p.told()
	assert.Len(w.t, paused, 1, "it is one pause with several reasons")
}

func keyWrongForADay(w *world) {
	p := w.open(usual())
	p.line.set(func(l *line) { l.key = "key-of-yesterday" })
	const all = 20
	p.enqueue(w.clicks(all)...)
	p.pauses()
	w.stands(p, 3, 8*time.Hour)
	p.line.set(func(l *line) { l.key = "" })
	p.deliveredIn(time.Minute, all)
}

func limitFullForADay(w *world) {
	p := w.open(usual())
	w.fail(sparklooptest.Status(429, `{"error":"Too many requests"}`))
	const all = 10
	p.enqueue(w.clicks(all)...)
	w.until("each is sent", func() bool { return w.wire.count() >= all })
	w.stands(p, 3, 8*time.Hour)
	w.recover()
	p.deliveredIn(10*time.Minute, all)
}
