package conformance

import (
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// clocks tests a clock that is set forward or back by days, permanently. No
// conversion waits for the old time.
func clocks() []story {
	var stories []story
	for name, jump := range map[string]time.Duration{"SetBackByDays": -3 * day, "SetForwardByDays": 3 * day} {
		stories = append(stories,
			story{"Clock" + name + "WithARetryPending", func(w *world) { jumpsWithRetry(w, jump) }},
			story{"Clock" + name + "WithARareRetryPending", func(w *world) { jumpsWithRareRetry(w, jump) }},
			story{"Clock" + name + "WhilePaused", func(w *world) { jumpsWhilePaused(w, jump) }},
			story{"Clock" + name + "BetweenSweeps", func(w *world) { jumpsBetweenSweeps(w, jump) }},
		)
	}
	return append(stories,
		story{"ClockSetForwardAndBackLosesNothing", forwardAndBack},
		story{"LateProcessFindsTheClockSetBack", lateProcess},
	)
}

// beforeTidying is a part of the minute between two runs of Tidy. A second run is
// needed: a delivery in progress when the clock was set may be stored after the
// first run.
const beforeTidying = 10 * time.Second

func jumpsWithRetry(w *world, jump time.Duration) {
	p := w.open(outbox.Options{})
	t := w.click()
	w.wire.say(t, 500, "")
	p.enqueue(t)
	w.until("it is sent", func() bool { return w.wire.count(t) > 2 })
	w.turn(jump)
	n := w.wire.count(t)
	w.passUntil(beforeTidying, "it is retried", func() bool { return w.wire.count(t) > n+2 })
	w.wire.unsay(t)
	p.become(t, outbox.Confirmed)
	p.settle()
	_, died, _ := p.told()
	assert.Empty(w.t, died)
}

func jumpsWithRareRetry(w *world, jump time.Duration) {
	p := w.open(patient())
	t := w.click()
	w.api.Fail(sparklooptest.Status(503, ""), 1)
	p.enqueue(t)
	p.until(t, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts == 1 })
	w.turn(jump)
	w.passUntil(10*time.Minute, "it is retried", func() bool { return w.wire.count(t) > 1 })
	p.become(t, outbox.Confirmed)
}

func jumpsWhilePaused(w *world, jump time.Duration) {
	p := w.open(usual())
	w.pause(p, sparklooptest.Status(503, ""), 5)
	w.turn(jump)
	w.recover()
	p.deliveredIn(time.Minute, 5)
	assert.Zero(w.t, p.stats().PausedSince)
}

func jumpsBetweenSweeps(w *world, jump time.Duration) {
	book := &orders{w: w}
	p := w.open(book.options())
	w.until("the source is called at Open", func() bool { asked, _ := book.calls(); return len(asked) == 1 })
	w.turn(jump)
	t := w.click()
	book.add(t)
	w.passUntil(10*time.Minute, "it is swept", func() bool { return w.api.Confirmed(t) })
	p.become(t, outbox.Confirmed)
}

// forwardAndBack has a clock that is wrong for a moment, by more than the 45 days.
func forwardAndBack(w *world) {
	p := w.open(outbox.Options{})
	w.fail(sparklooptest.Status(503, ""))
	var ts []sparkloop.Tracking
	for range 6 {
		t := w.click()
		ts = append(ts, t)
		p.enqueue(t)
	}
	for _, jump := range []time.Duration{50 * day, -50 * day, -10 * day, 10 * day} {
		w.turn(jump)
		n := w.wire.count()
		w.passUntil(beforeTidying, "it is retried", func() bool { return w.wire.count() > n+3 })
		t := w.click()
		ts = append(ts, t)
		p.enqueue(t)
	}
	w.recover()
	p.deliveredIn(time.Minute, len(ts))
	_, died, _ := p.told()
	assert.Empty(w.t, died)
}

// lateProcess starts a process after the clock was corrected.
func lateProcess(w *world) {
	w.turn(10 * day)
	first := w.open(usual())
	w.pause(first, sparklooptest.Reset(), 4)
	first.close()
	w.turn(-10 * day)
	w.recover()
	second := w.open(usual())
	second.deliveredIn(time.Minute, 4)
	assert.Zero(w.t, second.stats().PausedSince)
}
