package conformance

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// limiting tests the rate limit of all processes together.
func limiting() []story {
	return []story{
		{"ProcessesAndDirectCallsShareTheLimit", sharedLimit},
		{"LimitOutlivesItsProcess", limitOutlives},
		{"TooManyHoldsAllProcesses", tooManyHoldsAll},
		{"LimiterOfTheClientIsKept", limiterIsKept},
	}
}

// limited sets SparkLoop's limit, and returns the option with the same limit for
// clients.
func (w *world) limited(requests int, window time.Duration) sparkloop.Option {
	w.serve(sparklooptest.WithRateLimit(requests, window))
	return sparkloop.WithRateLimit(requests, window)
}

// window is the window of a limit. A busy machine may be late by a quarter of it.
const window = 2 * time.Second

func sharedLimit(w *world) {
	limit := w.limited(8, window)
	first, second := w.open(outbox.Options{}, limit), w.open(outbox.Options{}, limit)
	const queued, direct = 8, 3
	first.enqueue(w.clicks(queued / 2)...)
	second.enqueue(w.clicks(queued / 2)...)
	var work sync.WaitGroup
	for i := range direct {
		t := w.click()
		c := first.Client()
		if i%2 == 0 {
			c = second.Client()
		}
		work.Go(func() {
			ctx, cancel := context.WithTimeout(w.ctx(), patience)
			defer cancel()
			_, err := c.Conversions.Confirm(ctx, t)
			assert.NoError(w.t, err)
			_, err = c.Offers.Get(ctx, t.Offer)
			assert.NoError(w.t, err)
		})
	}
	work.Wait()
	first.delivered(queued)
	assert.Zero(w.t, w.wire.answers(429))
	assert.Equal(w.t, queued+2*direct, w.wire.count())
	for _, e := range first.list(outbox.Confirmed) {
		assert.Equal(w.t, 1, e.Attempts, "waiting is no attempt")
	}
}

func limitOutlives(w *world) {
	limit := w.limited(8, window)
	const each = 4
	for n := 1; n <= 3; n++ {
		p := w.open(outbox.Options{}, limit)
		p.enqueue(w.clicks(each)...)
		p.delivered(n * each)
		p.crash()
	}
	assert.Zero(w.t, w.wire.answers(429))
}

func tooManyHoldsAll(w *world) {
	limit := sparkloop.WithRateLimit(8, window) // so slow that all workers wait for their slots
	ps := []*process{w.open(outbox.Options{}, limit), w.open(outbox.Options{}, limit)}
	w.api.Fail(sparklooptest.Delay(0), 2)
	w.api.Fail(sparklooptest.Status(429, `{"error":"Too many requests"}`, "Retry-After", "1"), 1)
	const all = 8
	for _, p := range ps {
		p.enqueue(w.clicks(all / 2)...)
	}
	w.until("there is a 429", func() bool { return w.wire.answers(429) == 1 })
	t := w.click()
	for _, p := range ps {
		_, err := p.Client().Conversions.Confirm(w.ctx(), t) // must wait too
		require.NoError(w.t, err)
	}
	ps[0].delivered(all)

	const onItsWay = 500 * time.Millisecond // for requests that had their slots before
	var held time.Time
	after := 0
	for _, r := range w.wire.requests() {
		switch {
		case r.status == 429:
			held = r.ended
		case held.IsZero():
		case r.began.After(held.Add(onItsWay)):
			after++
			assert.False(w.t, r.began.Before(held.Add(time.Second-10*time.Millisecond)), "sent %s after the 429", r.began.Sub(held))
		}
	}
	assert.GreaterOrEqual(w.t, after, all-2)
	for _, p := range ps {
		_, _, paused := p.told()
		assert.Empty(w.t, paused, "the limit is no reason to pause the queue")
	}
}

// turnstile is a user's own limiter.
type turnstile struct{ waits, pauses atomic.Int64 }

func (s *turnstile) Wait(context.Context) error                 { s.waits.Add(1); return nil }
func (s *turnstile) Pause(context.Context, time.Duration) error { s.pauses.Add(1); return nil }

func limiterIsKept(w *world) {
	var own turnstile
	p := w.open(outbox.Options{}, sparkloop.WithLimiter(&own))
	w.api.Fail(sparklooptest.Status(429, ""), 1)
	p.enqueue(w.clicks(3)...)
	p.delivered(3)
	assert.EqualValues(w.t, 4, own.waits.Load())
	assert.EqualValues(w.t, 1, own.pauses.Load())
}
