package conformance

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// hooking tests OnConfirmed, OnDead and OnPaused.
func hooking() []story {
	return []story{
		{"HooksAreToldWhatIsStored", hooksAreTold},
		{"HooksThatPanicDoNoHarm", hooksPanic},
		{"HooksThatEndTheirGoroutineDoNoHarm", hooksExit},
		{"HooksMayUseTheQueue", hooksUseQueue},
		{"PausedIsToldWithTheError", pausedIsTold},
	}
}

func hooksAreTold(w *world) {
	p := w.open(outbox.Options{})
	stored := make(map[string]outbox.Entry)
	for _, t := range []sparkloop.Tracking{w.click(), w.click()} {
		p.enqueue(t)
		stored[t.Key()] = p.become(t, outbox.Confirmed)
	}
	dead, expired := w.unknown(), aged(w.unknown(), 50*day)
	p.enqueue(dead, expired)
	stored[dead.Key()] = p.become(dead, outbox.Dead)
	stored[expired.Key()] = p.become(expired, outbox.Expired)
	p.tells(2, 2)
	p.settle()
	confirmed, died, paused := p.told()
	assert.Empty(w.t, paused)
	assert.Len(w.t, died, 2)
	for _, told := range append(confirmed[:2], died...) {
		e := stored[told.Tracking.Key()]
		assert.WithinDuration(w.t, e.FinishedAt, told.FinishedAt, time.Second)
		assert.WithinDuration(w.t, e.EnqueuedAt, told.EnqueuedAt, time.Second)
		told.FinishedAt, told.EnqueuedAt = e.FinishedAt, e.EnqueuedAt
		assert.Equal(w.t, e, told)
	}
}

func hooksPanic(w *world) {
	p := w.open(outbox.Options{
		OnConfirmed: func(outbox.Entry) { panic("confirmed: no") },
		OnDead:      func(outbox.Entry) { panic(errors.New("dead: no")) },
		OnPaused:    func(error) { panic("paused: no") },
	})
	for range 5 {
		p.enqueue(w.click(), w.unknown())
	}
	w.until("all are answered", func() bool { s := p.stats(); return s.Confirmed == 5 && s.Dead == 5 })
	w.pause(p, sparklooptest.Status(503, ""), 3)
	w.recover()
	w.until("it resumes", func() bool { return p.stats().Confirmed == 8 })
	w.until("it is logged", func() bool { return p.log.has("confirmed: no", "dead: no", "paused: no") })
	assert.Equal(w.t, 5, p.stats().Dead)
	assert.Equal(w.t, 5, w.wire.answers(404), "each was sent once")
}

func hooksExit(w *world) {
	exit := func(outbox.Entry) { runtime.Goexit() }
	p := w.open(outbox.Options{OnConfirmed: exit, OnDead: exit, OnPaused: func(error) { runtime.Goexit() }})
	for range 10 { // more than there are workers
		p.enqueue(w.click(), w.unknown())
	}
	w.until("all are answered", func() bool { s := p.stats(); return s.Confirmed == 10 && s.Dead == 10 })
	w.pause(p, sparklooptest.Status(503, ""), 3)
	w.recover()
	w.until("it resumes", func() bool { return p.stats().Confirmed == 13 })
	assert.True(w.t, p.log.has("called runtime.Goexit"))
}

func hooksUseQueue(w *world) {
	var p *process
	ready := make(chan struct{})
	next := w.clicks(4)
	var at, done atomic.Int64
	look := func(e outbox.Entry) {
		<-ready
		found, ok, err := p.Lookup(w.ctx(), e.Tracking)
		assert.NoError(w.t, err)
		assert.True(w.t, ok)
		assert.Equal(w.t, e.State, found.State, "the state is stored before the hook runs")
		_, err = p.Stats(w.ctx())
		assert.NoError(w.t, err)
		if i := int(at.Add(1)) - 1; i < len(next) {
			assert.NoError(w.t, p.Enqueue(w.ctx(), next[i]))
		}
		done.Add(1)
	}
	p = w.open(outbox.Options{Workers: 1, OnConfirmed: look, OnDead: look})
	close(ready)
	p.enqueue(w.unknown())
	w.until("one enqueues the next", func() bool { return done.Load() == int64(1+len(next)) })
	assert.Equal(w.t, len(next), p.stats().Confirmed)
}

func pausedIsTold(w *world) {
	p := w.open(outbox.Options{})
	w.pause(p, sparklooptest.Status(401, `{"error":"User not found!"}`), 3)
	_, _, paused := p.told()
	assert.ErrorIs(w.t, paused[0], sparkloop.ErrUnauthorized)
	var answer *sparkloop.Error
	if assert.ErrorAs(w.t, paused[0], &answer) {
		assert.Equal(w.t, 401, answer.StatusCode)
	}
	w.recover()
	p.delivered(3)
}
