package conformance

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// pausing tests a queue that stops sending while SparkLoop fails.
func pausing() []story {
	return []story{
		{"PausesAfterTwoThatFailAlike", pausesAfterTwo},
		{"DifferentFailuresDoNotPause", differentFailures},
		{"GoodAnswerInBetweenDoesNotPause", goodAnswerInBetween},
		{"ProbesOneAtATimeAndAnotherEachTime", probesInTurn},
		{"PauseHoldsAllProcesses", pauseHoldsAll},
		{"PauseOutlivesItsProcess", pauseOutlives},
		{"ProbesGrowRare", probesGrowRare},
		{"ProbesGoOnEveryFiveMinutes", probesGoOn},
		{"FinalAnswerEndsThePause", finalAnswerEndsPause},
		{"WrongKeyPausesItsProcessAlone", wrongKeyPausesAlone},
		{"WrongKeyPausesForOneConversion", wrongKeyPausesForOne},
		{"KeyChangedInOneOfTwoProcesses", keyChanged},
		{"WhatExpiresDoesNotPause", expiringOnes},
		{"RejectedKeyIsNamed", rejectedKey},
		{"BrokenOfferStopsNoOther", brokenOffer},
		{"OtherAPIDeliversNothing", otherAPI},
		{"WrongClockExpiresNothing", wrongClockExpiresNothing},
	}
}

// pause makes a queue with n conversions pause on a fault.
func (w *world) pause(p *process, f sparklooptest.Fault, conversions int) {
	w.t.Helper()
	w.fail(f)
	p.enqueue(w.clicks(conversions)...)
	p.pauses()
}

func pausesAfterTwo(w *world) {
	p := w.open(outbox.Options{})
	before := w.now().Add(-time.Second)
	w.pause(p, sparklooptest.Status(503, `{"error":"Maintenance"}`), 5)
	s := p.stats()
	assert.WithinRange(w.t, s.PausedSince, before, w.now())
	assert.Contains(w.t, s.PausedReason, "503 Maintenance")

	n := w.wire.count()
	w.until("it is probed a few times", func() bool { return w.wire.count() > n+8 })
	_, _, paused := p.told()
	assert.Len(w.t, paused, 1, "a pause is reported once")
	assert.ErrorContains(w.t, paused[0], "503 Maintenance")
	assert.Equal(w.t, 1, p.log.warnings("paused", "503 Maintenance"))
	assert.Equal(w.t, s.PausedSince, p.stats().PausedSince)

	w.recover()
	p.delivered(5)
	s = p.stats()
	assert.Zero(w.t, s.PausedSince)
	assert.Empty(w.t, s.PausedReason)
	assert.Equal(w.t, 1, p.log.warnings("resumed"))
	_, died, paused := p.told()
	assert.Empty(w.t, died)
	assert.Len(w.t, paused, 1)
}

func differentFailures(w *world) {
	p := w.open(outbox.Options{})
	server, way := w.click(), w.click()
	w.wire.say(server, 500, "")
	w.wire.say(way, 200, "<h1>Welcome</h1>")
	p.enqueue(server, way)
	w.until("both are sent often", func() bool { return w.wire.count(server) > 8 && w.wire.count(way) > 8 })
	_, _, paused := p.told()
	assert.Empty(w.t, paused)
	assert.Zero(w.t, p.stats().PausedSince)
}

func goodAnswerInBetween(w *world) {
	p := w.open(patient())
	for range 3 {
		w.api.Fail(sparklooptest.Status(503, ""), 1)
		t := w.click()
		p.enqueue(t)
		p.until(t, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts == 1 })
		p.settle()
	}
	_, _, paused := p.told()
	assert.Empty(w.t, paused)
}

// slowly delays each request, so that two requests at a time overlap.
func (p *process) slowly() {
	p.line.set(func(l *line) {
		l.before = func(r *http.Request) error {
			select {
			case <-time.After(4 * time.Millisecond):
			case <-r.Context().Done():
			}
			return nil
		}
	})
}

// probed waits for more requests of a paused queue. It asserts that no two overlap,
// that no two in a row are for the same conversion, and that each conversion has
// its turn.
func (w *world) probed(conversions int) {
	w.t.Helper()
	const underWay = 8 // requests in progress when the pause began, in two processes
	from := w.wire.count() + underWay
	w.until("it is probed", func() bool { return w.wire.count() > from+3*conversions })
	probes := w.wire.requests()[from:]
	seen := make(map[string]bool)
	for i, r := range probes {
		seen[r.conversion] = true
		if i > 0 {
			assert.False(w.t, r.began.Before(probes[i-1].ended), "two at a time")
			assert.NotEqual(w.t, probes[i-1].conversion, r.conversion, "the same one twice in a row")
		}
	}
	assert.Len(w.t, seen, conversions, "each has its turn")
}

func probesInTurn(w *world) {
	p := w.open(outbox.Options{})
	p.slowly()
	w.pause(p, sparklooptest.Status(503, ""), 6)
	w.probed(6)
	w.recover()
	p.delivered(6)
}

func pauseHoldsAll(w *world) {
	first := w.open(outbox.Options{})
	first.slowly()
	w.pause(first, sparklooptest.Reset(), 5)
	second := w.open(outbox.Options{})
	second.slowly()
	assert.NotZero(w.t, second.stats().PausedSince, "before it has sent a request")
	w.probed(5)
	_, _, paused := second.told()
	assert.Empty(w.t, paused, "another process noticed the pause")

	w.recover()
	second.delivered(5)
	assert.Zero(w.t, first.stats().PausedSince)
	assert.Zero(w.t, second.stats().PausedSince)
}

func pauseOutlives(w *world) {
	first := w.open(outbox.Options{RetryMin: time.Minute, RetryMax: time.Hour})
	w.pause(first, sparklooptest.Status(502, ""), 3)
	since := first.stats().PausedSince
	first.close()
	second := w.open(outbox.Options{RetryMin: time.Minute, RetryMax: time.Hour})
	assert.Equal(w.t, since, second.stats().PausedSince)
	w.recover()
	second.deliveredIn(time.Minute, 3)
}

func probesGrowRare(w *world) {
	p := w.open(outbox.Options{RetryMin: 10 * time.Millisecond, RetryMax: 10 * time.Hour})
	w.pause(p, sparklooptest.Status(503, ""), 10)
	n := w.wire.count()
	w.until("it is probed a few times", func() bool { return w.wire.count() > n+5 })
	n = w.wire.count()
	w.never("more than three probes", func() bool { return w.wire.count() > n+3 })
}

func probesGoOn(w *world) {
	p := w.open(outbox.Options{RetryMin: 4 * time.Minute, RetryMax: 10 * time.Hour})
	w.pause(p, sparklooptest.Status(503, ""), 6)
	n := w.wire.count()
	w.stands(p, 3, 5*time.Minute+time.Second) // doubling would reach 16 minutes by then
	assert.LessOrEqual(w.t, w.wire.count()-n, 4+3, "requests in progress, and three probes")
	w.recover()
	p.deliveredIn(5*time.Minute, 6)
}

func finalAnswerEndsPause(w *world) {
	p := w.open(outbox.Options{})
	w.fail(sparklooptest.Status(503, ""))
	no := w.unknown()
	p.enqueue(no, w.unknown())
	p.pauses()
	w.recover()
	p.become(no, outbox.Dead)
	w.until("it resumes", func() bool { return p.stats().PausedSince.IsZero() })
}

func wrongKeyPausesAlone(w *world) {
	wrong := w.open(outbox.Options{})
	wrong.line.set(func(l *line) { l.key = "key-of-yesterday" })
	wrong.enqueue(w.clicks(6)...)
	wrong.pauses()
	s := wrong.stats()
	assert.NotZero(w.t, s.PausedSince)
	assert.Contains(w.t, s.PausedReason, "User not found")
	n := w.wire.count()
	w.until("it sends more probes", func() bool { return w.wire.count() > n+10 })
	_, _, paused := wrong.told()
	assert.Len(w.t, paused, 1)

	right := w.open(outbox.Options{})
	assert.Zero(w.t, right.stats().PausedSince)
	right.delivered(6)
	_, _, paused = right.told()
	assert.Empty(w.t, paused)
	assert.NotZero(w.t, wrong.stats().PausedSince, "its own key is still wrong")
	right.close()

	wrong.line.set(func(l *line) { l.key = "" })
	wrong.enqueue(w.clicks(4)...)
	wrong.delivered(10)
	assert.Zero(w.t, wrong.stats().PausedSince)
}

func wrongKeyPausesForOne(w *world) {
	p := w.open(outbox.Options{RetryMin: 10 * time.Millisecond, RetryMax: 10 * time.Hour})
	w.pause(p, sparklooptest.Status(401, `{"error":"User not found!"}`), 1)
	n := w.wire.count()
	w.until("it is probed a few times", func() bool { return w.wire.count() > n+5 })
	n = w.wire.count()
	w.never("more than three probes", func() bool { return w.wire.count() > n+3 })
	w.recover()
	p.deliveredIn(time.Minute, 1)
}

// expiringOnes are conversions after their 45 days, for which SparkLoop fails. If
// they expired in the pause, no probe would be left.
func expiringOnes(w *world) {
	p := w.open(outbox.Options{})
	w.fail(sparklooptest.Status(500, ""))
	ts := w.clicks(4)
	for i, t := range ts {
		ts[i] = aged(t, 46*day)
	}
	p.enqueue(ts...)
	for _, t := range ts {
		p.become(t, outbox.Expired)
	}
	assert.Zero(w.t, p.stats().PausedSince)
	_, _, paused := p.told()
	assert.Empty(w.t, paused)
}

// keyChanged is a roll-out. For a while two processes have different keys, and
// SparkLoop accepts only the new one.
func keyChanged(w *world) {
	slow, quick := w.open(outbox.Options{}), w.open(outbox.Options{})
	w.fail(sparklooptest.Status(401, `{"error":"User not found!"}`))
	slow.enqueue(w.clicks(8)...)
	for _, p := range []*process{slow, quick} {
		p.pauses()
	}
	slow.line.set(func(l *line) { l.key = "the-old-one" })
	w.recover() // for the quick one
	quick.delivered(8)
	var sent atomic.Int64
	quick.line.set(func(l *line) {
		l.before = func(*http.Request) error { sent.Add(1); return nil }
	})
	slow.enqueue(w.clicks(20)...)
	quick.delivered(28)
	assert.EqualValues(w.t, 20, sent.Load(), "the other process's key does not delay the queue")
	slow.line.set(func(l *line) { l.key = "" })
	quick.close()
	slow.enqueue(w.clicks(3)...)
	slow.delivered(31)
	_, died, _ := slow.told()
	assert.Empty(w.t, died)
}

// rejectedKey tests what a person sees of a wrong key: in the process with the key,
// and in a process that only enqueues.
func rejectedKey(w *world) {
	p, web := w.open(outbox.Options{}), w.open(outbox.Options{Workers: -1})
	w.pause(p, sparklooptest.Status(401, `{"error":"User not found!"}`), 1)
	assert.Equal(w.t, 1, p.log.warnings("paused", outbox.KeyRejected))
	for _, q := range []*process{p, web} {
		w.until("it is in the database", func() bool { return q.stats().KeyRejected() })
		assert.Equal(w.t, outbox.KeyRejected+": User not found!", q.stats().PausedReason)
		assert.Equal(w.t, []string{outbox.KeyRejected + "."}, q.stats().Problems())
	}
	w.recover()
	p.delivered(1)
	for _, q := range []*process{p, web} {
		w.until("it is over", func() bool { return q.stats().PausedSince.IsZero() })
	}
}

// brokenOffer is an offer for which SparkLoop always answers 500.
func brokenOffer(w *world) {
	p := w.open(usual())
	var broken []sparkloop.Tracking
	for _, t := range w.clicks(8) {
		t.Offer = "offer_broken"
		w.wire.say(t, 500, `{"error":"Internal Server Error"}`)
		broken = append(broken, t)
	}
	p.enqueue(broken...)
	p.pauses()
	first := w.click() // ends the pause of the queue
	p.enqueue(first)
	w.passUntil(time.Second, "an offer that was not tried is probed", func() bool { return w.api.Confirmed(first) })
	n := w.wire.count()
	for range 5 {
		t := w.click()
		p.enqueue(t)
		w.until("it is delivered at once", func() bool { return w.api.Confirmed(t) })
	}
	assert.LessOrEqual(w.t, w.wire.count()-n, 5+3, "broken conversions are not sent")
	assert.Zero(w.t, p.stats().PausedSince)
	for _, t := range broken {
		w.wire.say(t, 200, `{"message":"Conversion tracked successfully"}`)
	}
	p.deliveredIn(time.Minute, len(broken)+6)
}

// otherAPI is a process that would send production's conversions to a test API.
func otherAPI(w *world) {
	right := w.open(outbox.Options{})
	right.settle()
	elsewhere := sparkloop.WithBaseURL("https://staging.example/api/v2")
	wrong := w.open(outbox.Options{}, elsewhere)
	assert.Equal(w.t, 1, wrong.log.warnings("no delivery", outbox.OtherAPI, "https://staging.example"))
	assert.Len(w.t, wrong.stats().Problems(), 1)
	assert.Empty(w.t, right.stats().Problems())
	right.close()
	t := w.click()
	wrong.enqueue(t)
	w.never("it is sent", func() bool { return w.wire.count(t) > 0 })
	wrong.close()

	w.open(outbox.Options{AdoptAPI: true}, elsewhere).become(t, outbox.Confirmed)
	assert.NotEmpty(w.t, w.open(outbox.Options{}).stats().Problems(), "the queue belongs to the other API")
}

// wrongClockExpiresNothing has a clock that is ahead by over 45 days. The API's
// answers have the right Date.
func wrongClockExpiresNothing(w *world) {
	p := w.open(outbox.Options{})
	t := w.click()
	w.turn(46 * day)
	w.wire.say(t, 500, `{"error":"Internal Server Error"}`)
	p.enqueue(t)
	w.until("it is sent", func() bool { return w.wire.count(t) > 2 })
	assert.Equal(w.t, outbox.Pending, p.find(t).State)
	w.wire.unsay(t)
	p.become(t, outbox.Confirmed)
}
