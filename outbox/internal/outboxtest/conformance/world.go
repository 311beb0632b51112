package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const (
	day = 24 * time.Hour

	// patience bounds the wait for an expected event. It is shorter than the claims
	// of a dead process.
	patience = 30 * time.Second
)

// world is the setting of a story: one database, one SparkLoop, one clock, and
// processes.
type world struct {
	t         *testing.T
	db        Database
	api       *sparklooptest.Server
	wire      *wire
	ahead     atomic.Int64 // of the real clock, in nanoseconds
	passed    atomic.Int64 // part of ahead that has passed for SparkLoop too
	processes []*process
}

func newWorld(t *testing.T, db Database) *world {
	t.Helper()
	w := &world{t: t, db: db, wire: &wire{script: make(map[string]said)}}
	w.serve(sparklooptest.WithRateLimit(0, 0))
	return w
}

// serve replaces the fake SparkLoop.
func (w *world) serve(options ...sparklooptest.Option) {
	w.api = sparklooptest.NewServer(w.t, options...)
	w.wire.api = w.api.Transport()
	w.wire.now = func() time.Time { return time.Now().Add(time.Duration(w.passed.Load())) }
}

// now returns the time on the clock of all queues.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// pass lets time pass, for the queues and for SparkLoop.
func (w *world) pass(d time.Duration) {
	w.api.Advance(d)
	w.passed.Add(int64(d))
	w.turn(d)
}

// turn moves only the queues' clock, forward or back.
func (w *world) turn(d time.Duration) { w.ahead.Add(int64(d)) }

// until waits until a condition is true.
func (w *world) until(what string, met func() bool) {
	w.t.Helper()
	w.passUntil(0, what, met)
}

// passUntil waits until a condition is true, and repeatedly lets a time pass
// meanwhile.
func (w *world) passUntil(step time.Duration, what string, met func() bool) {
	w.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	passes := time.NewTicker(200 * time.Millisecond)
	defer passes.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !met() {
		select {
		case <-look.C:
		case <-passes.C:
			w.pass(step)
		case <-end.C:
			require.FailNow(w.t, "It never happens: "+what)
		}
	}
}

// never asserts that a condition stays false for a moment.
func (w *world) never(what string, met func() bool) {
	w.t.Helper()
	require.Never(w.t, met, 1200*time.Millisecond, 50*time.Millisecond, what)
}

// click returns a reader's click on the fake's default offer.
func (w *world) click() sparkloop.Tracking {
	_, t := w.api.Click("", "https://shop.example/")
	return t
}

// clicks returns n clicks.
func (w *world) clicks(n int) []sparkloop.Tracking {
	ts := make([]sparkloop.Tracking, n)
	for i := range ts {
		ts[i] = w.click()
	}
	return ts
}

// unknown returns a tracking whose submission SparkLoop does not have.
func (w *world) unknown() sparkloop.Tracking {
	t := w.click()
	t.Submission = "unknown-" + t.Submission
	return t
}

// aged returns a tracking with an earlier CapturedAt.
func aged(t sparkloop.Tracking, d time.Duration) sparkloop.Tracking {
	t.CapturedAt = t.CapturedAt.Add(-d)
	return t
}

// fail makes every request fail from now on.
func (w *world) fail(f sparklooptest.Fault) {
	w.api.Fail(f, 0)
	w.api.Fail(f, -1)
}

// recover ends the faults.
func (w *world) recover() { w.api.Fail(sparklooptest.Fault{}, 0) }

func (w *world) ctx() context.Context { return w.t.Context() }

// each brings one conversion into each state. The queue retries the pending one
// only after an hour.
func (w *world) each(p *process) map[outbox.State]outbox.Entry {
	w.t.Helper()
	confirmed, dead, expired, pending := w.click(), w.click(), aged(w.click(), 46*day), w.click()
	w.wire.say(dead, 404, no)
	w.wire.say(expired, 404, no)
	w.wire.say(pending, 500, `{"error":"Internal Server Error"}`)
	p.enqueue(confirmed, dead, expired, pending)
	p.until(pending, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts == 1 })
	all := map[outbox.State]outbox.Entry{
		outbox.Confirmed: p.become(confirmed, outbox.Confirmed),
		outbox.Dead:      p.become(dead, outbox.Dead),
		outbox.Expired:   p.become(expired, outbox.Expired),
		outbox.Pending:   p.become(pending, outbox.Pending),
	}
	for _, e := range all {
		w.wire.unsay(e.Tracking)
	}
	return all
}

// patient returns options with which the pending conversion of each is not retried.
func patient() outbox.Options {
	return outbox.Options{RetryMin: time.Hour, RetryMax: time.Hour}
}
