package conformance

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// takeover is a time after which another process has surely taken over a dead
// process's conversions.
const takeover = 3 * time.Minute

var errDead = errors.New("the process is dead")

// crashing tests a process that dies at each point of a delivery.
func crashing() []story {
	return []story{
		{"DiesAfterEnqueueing", diesAfterEnqueueing},
		{"DiesBeforeTheCall", diesBeforeTheCall},
		{"DiesBeforeTheLostAnswer", diesBeforeTheLostAnswer},
		{"DiesAfterTheAnswer", diesAfterTheAnswer},
		{"DiesAfterAFinalAnswer", diesAfterAFinalAnswer},
		{"DiesWithManyUnderWay", diesWithManyUnderWay},
		{"DiesWhileProbing", diesWhileProbing},
		{"DiesWhileTheClockIsWrong", diesWhileTheClockIsWrong},
	}
}

func diesAfterEnqueueing(w *world) {
	first := w.open(outbox.Options{Workers: -1})
	ts := w.clicks(2)
	first.enqueue(ts[0])
	require.NoError(w.t, first.enqueueTx(ts[1], true))
	first.crash()
	w.open(outbox.Options{}).delivered(len(ts))
}

// dieBefore kills a process when a request is on its way to SparkLoop.
func (p *process) dieBefore() {
	p.line.set(func(l *line) {
		l.before = func(*http.Request) error {
			p.crash()
			return errDead
		}
	})
}

// dieAfter kills a process when an answer is on its way back.
func (p *process) dieAfter() {
	p.line.set(func(l *line) { l.after = func(*http.Request) { p.crash() } })
}

func (p *process) dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashed
}

// taken asserts that a second process takes a conversion over, and returns its
// entry.
func (w *world) taken(first *process, t sparkloop.Tracking, s outbox.State) outbox.Entry {
	w.t.Helper()
	w.until("the first process is dead", first.dead)
	second := w.open(outbox.Options{})
	assert.Equal(w.t, outbox.Pending, second.find(t).State)
	w.pass(takeover)
	e := second.become(t, s)
	confirmed, died, _ := first.told()
	assert.Empty(w.t, confirmed)
	assert.Empty(w.t, died)
	return e
}

func diesBeforeTheCall(w *world) {
	first := w.open(outbox.Options{})
	first.dieBefore()
	t := w.click()
	first.enqueue(t)
	w.taken(first, t, outbox.Confirmed)
	assert.Equal(w.t, 1, w.wire.answers(200))
}

func diesBeforeTheLostAnswer(w *world) {
	first := w.open(outbox.Options{})
	first.dieAfter()
	w.api.Fail(sparklooptest.LostAnswer(), 1)
	t := w.click()
	first.enqueue(t)
	e := w.taken(first, t, outbox.Confirmed)
	assert.Contains(w.t, e.Reason, "must be unique")
	assert.Zero(w.t, w.wire.answers(200))
}

func diesAfterTheAnswer(w *world) {
	first := w.open(outbox.Options{})
	first.dieAfter()
	t := w.click()
	first.enqueue(t)
	e := w.taken(first, t, outbox.Confirmed)
	assert.Contains(w.t, e.Reason, "must be unique")
	assert.Equal(w.t, 1, w.wire.answers(200))
}

func diesAfterAFinalAnswer(w *world) {
	first := w.open(outbox.Options{})
	first.dieAfter()
	t := w.unknown()
	first.enqueue(t)
	w.taken(first, t, outbox.Dead)
}

func diesWithManyUnderWay(w *world) {
	first := w.open(outbox.Options{})
	var answers atomic.Int64
	first.line.set(func(l *line) {
		l.after = func(*http.Request) {
			if answers.Add(1) == 20 {
				first.crash()
			}
		}
	})
	const all = 50
	ts := w.clicks(all)
	for i, t := range ts {
		if i%2 == 0 {
			first.Enqueue(w.ctx(), t) //nolint:errcheck // the process may be dead; it is repeated below
		} else {
			first.enqueueTx(t, true) //nolint:errcheck // likewise
		}
	}
	w.until("the first process is dead", first.dead)
	second := w.open(outbox.Options{})
	second.enqueue(ts...)
	w.pass(takeover)
	second.delivered(all)
	assert.Equal(w.t, all, w.wire.answers(200))
}

func diesWhileProbing(w *world) {
	first := w.open(outbox.Options{})
	w.fail(sparklooptest.Status(503, ""))
	first.enqueue(w.clicks(4)...)
	first.pauses()
	first.dieBefore()
	w.until("the first process is dead", first.dead)
	w.recover()
	second := w.open(outbox.Options{})
	w.pass(takeover)
	second.delivered(4)
}

func diesWhileTheClockIsWrong(w *world) {
	first := w.open(outbox.Options{})
	first.dieBefore()
	w.turn(3 * day)
	t := w.click()
	first.enqueue(t)
	w.until("the first process is dead", first.dead)
	w.turn(-3 * day)
	second := w.open(outbox.Options{})
	w.pass(takeover)
	second.become(t, outbox.Confirmed)
}
