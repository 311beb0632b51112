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

	// patience is how long a story waits for what must happen. It is shorter
	// than a dead process's claims hold, unless the clock is moved.
	patience = 30 * time.Second
)

// world is where a story takes place: one database, one SparkLoop, one clock,
// and the processes that come and go.
type world struct {
	t         *testing.T
	db        Database
	api       *sparklooptest.Server
	wire      *wire
	ahead     atomic.Int64 // of the real clock, in nanoseconds
	passed    atomic.Int64 // of that, what has passed for SparkLoop too
	processes []*process
}

func newWorld(t *testing.T, db Database) *world {
	t.Helper()
	w := &world{t: t, db: db, wire: &wire{script: make(map[string]said)}}
	w.serve(sparklooptest.WithRateLimit(0, 0))
	return w
}

// serve puts another SparkLoop in the place of the one that is there.
func (w *world) serve(options ...sparklooptest.Option) {
	w.api = sparklooptest.NewServer(w.t, options...)
	w.wire.api = w.api.Transport()
	w.wire.now = func() time.Time { return time.Now().Add(time.Duration(w.passed.Load())) }
}

// now is the time on the clock of all queues.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// pass lets time pass, for the queues and for SparkLoop.
func (w *world) pass(d time.Duration) {
	w.api.Advance(d)
	w.passed.Add(int64(d))
	w.turn(d)
}

// turn moves the queues' clock alone, back too.
func (w *world) turn(d time.Duration) { w.ahead.Add(int64(d)) }

// until waits for something to become true.
func (w *world) until(what string, met func() bool) {
	w.t.Helper()
	w.passUntil(0, what, met)
}

// passUntil waits for something to become true, and lets that much time pass
// again and again meanwhile.
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

// never watches for a moment that something does not become true.
func (w *world) never(what string, met func() bool) {
	w.t.Helper()
	require.Never(w.t, met, 1200*time.Millisecond, 50*time.Millisecond, what)
}

// click is a reader's click on the offer that every SparkLoop here has.
func (w *world) click() sparkloop.Tracking {
	_, t := w.api.Click("", "https://shop.example/")
	return t
}

// clicks are that many of them.
func (w *world) clicks(n int) []sparkloop.Tracking {
	ts := make([]sparkloop.Tracking, n)
	for i := range ts {
		ts[i] = w.click()
	}
	return ts
}

// unknown is a tracking with a submission that SparkLoop does not have.
func (w *world) unknown() sparkloop.Tracking {
	t := w.click()
	t.Submission = "unknown-" + t.Submission
	return t
}

// aged is a tracking that was captured that much earlier, as far as the shop knows.
func aged(t sparkloop.Tracking, d time.Duration) sparkloop.Tracking {
	t.CapturedAt = t.CapturedAt.Add(-d)
	return t
}

// fail has every request from now on meet a fault.
func (w *world) fail(f sparklooptest.Fault) {
	w.api.Fail(f, 0)
	w.api.Fail(f, -1)
}

// recover ends the faults.
func (w *world) recover() { w.api.Fail(sparklooptest.Fault{}, 0) }

func (w *world) ctx() context.Context { return w.t.Context() }

// each brings one conversion into each state, in a queue that tries the
// pending one again only after an hour.
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

// patient are options under which each leaves the pending one alone.
func patient() outbox.Options {
	return outbox.Options{RetryMin: time.Hour, RetryMax: time.Hour}
}
