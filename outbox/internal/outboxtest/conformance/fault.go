package conformance

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// failing tests a database that is unreachable, full or read-only for a while.
func failing() []story {
	return []story{
		{"DatabaseThatTakesNothingInIsAnError", takesNothingIn},
		{"DatabaseThatTakesNothingInStoresTheAnswerLater", answerStoredLater},
		{"DatabaseGoesAwayAndComesBack", goesAway},
		{"DatabaseGoesAwayInMidDelivery", goesAwayInMidDelivery},
		{"EndedContextIsAnError", endedContext},
		{"WrongOptionsAreAnError", wrongOptions},
	}
}

// atOnce bounds a failing call.
const atOnce = 8 * time.Second

func takesNothingIn(w *world) {
	p := w.open(outbox.Options{})
	p.settle()
	for i, f := range w.db.Faults() {
		require.NoError(w.t, f.Begin(w.ctx()), f.Name)
		began := time.Now()
		ts := w.clicks(3)
		for _, t := range ts {
			require.Error(w.t, p.Enqueue(w.ctx(), t), f.Name)
		}
		assert.Less(w.t, time.Since(began), 3*atOnce, f.Name)
		for _, t := range ts {
			p.absent(t)
			assert.Zero(w.t, w.wire.count(t), f.Name)
		}
		assert.NotZero(w.t, p.stats().Confirmed, f.Name)
		require.NoError(w.t, f.End(w.ctx()), f.Name)

		w.until("it accepts writes again after: "+f.Name, func() bool { return p.Enqueue(w.ctx(), ts[0]) == nil })
		p.enqueue(ts...)
		p.delivered(1 + (i+1)*len(ts))
	}
}

// answerStoredLater makes the database fail between a request and its answer.
func answerStoredLater(w *world) {
	for _, f := range w.db.Faults() {
		p := w.open(outbox.Options{})
		var once sync.Once
		p.line.set(func(l *line) {
			l.after = func(*http.Request) {
				once.Do(func() { assert.NoError(w.t, f.Begin(context.Background()), f.Name) })
			}
		})
		before, answers := p.stats().Confirmed, w.wire.answers(200)
		ts := w.clicks(5)
		for _, t := range ts {
			p.Enqueue(w.ctx(), t) //nolint:errcheck // it may fail by now, and is repeated below
		}
		w.until("the answer is there", func() bool { return w.wire.answers(200) > answers })
		w.never("it is confirmed", func() bool { return p.stats().Confirmed == before+len(ts) })
		require.NoError(w.t, f.End(w.ctx()), f.Name)
		w.until("it accepts writes again after: "+f.Name, func() bool { return p.Enqueue(w.ctx(), ts[0]) == nil })
		p.enqueue(ts...)
		w.passUntil(takeover, "all are confirmed", func() bool { return p.stats().Confirmed == before+len(ts) })
		_, died, _ := p.told()
		assert.Empty(w.t, died, f.Name)
		p.close()
	}
}

func goesAway(w *world) {
	p := w.open(outbox.Options{})
	p.settle()
	w.db.Cut(p.Queue)
	t := w.click()
	began := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx(), atOnce)
	defer cancel()
	require.Error(w.t, p.Enqueue(ctx, t))
	require.Error(w.t, p.w.db.EnqueueTx(ctx, p.Queue, t, true))
	_, err := p.Stats(ctx)
	require.Error(w.t, err)
	_, _, err = p.Lookup(ctx, t)
	require.Error(w.t, err)
	_, err = p.RedriveAll(ctx, outbox.Dead)
	require.Error(w.t, err)
	_, err = p.Redrive(ctx, 1)
	require.Error(w.t, err)
	failed := 0
	for _, err := range p.List(ctx, outbox.Confirmed) {
		require.Error(w.t, err)
		failed++
	}
	assert.Equal(w.t, 1, failed, "an error comes once, and last")
	assert.Less(w.t, time.Since(began), atOnce+time.Second)

	w.never("something is sent", func() bool { return w.wire.count(t) > 0 })
	w.db.Mend(p.Queue)
	w.until("it accepts writes again", func() bool { return p.Enqueue(w.ctx(), t) == nil })
	w.passUntil(time.Minute, "it is delivered", func() bool { return w.api.Confirmed(t) })
	p.become(t, outbox.Confirmed)
	p.settle()
}

func goesAwayInMidDelivery(w *world) {
	p := w.open(outbox.Options{})
	p.slowly()
	const all = 60
	ts := w.clicks(all)
	p.enqueue(ts...)
	w.until("some are confirmed", func() bool { return w.wire.answers(200) > 5 })
	for range 3 {
		w.db.Cut(p.Queue)
		w.never("all are confirmed", func() bool { return w.wire.answers(200) == all })
		w.db.Mend(p.Queue)
		n := w.wire.count()
		w.passUntil(time.Minute, "it resumes", func() bool { return w.wire.count() > n })
	}
	p.deliveredIn(time.Minute, all)
	assert.Equal(w.t, all, w.wire.answers(200), "each is confirmed once")
	_, died, _ := p.told()
	assert.Empty(w.t, died)
}

func endedContext(w *world) {
	p := w.open(outbox.Options{})
	w.fail(sparklooptest.Status(503, ""))
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	t := w.click()
	require.ErrorIs(w.t, p.Enqueue(ctx, t), context.Canceled)
	_, err := p.Stats(ctx)
	require.ErrorIs(w.t, err, context.Canceled)
	_, _, err = p.Lookup(ctx, t)
	require.ErrorIs(w.t, err, context.Canceled)
	for _, err := range p.List(ctx, outbox.Pending) {
		require.ErrorIs(w.t, err, context.Canceled)
	}
	w.recover()
	p.enqueue(t)
	p.become(t, outbox.Confirmed)
}

func wrongOptions(w *world) {
	for why, o := range map[string]outbox.Options{
		"too many workers":         {Workers: 1001},
		"a negative pause":         {RetryMin: -1},
		"a pause too short":        {RetryMin: 1, RetryMax: time.Hour},
		"the pauses swapped":       {RetryMin: time.Hour, RetryMax: time.Second},
		"a pause of two months":    {RetryMin: time.Hour, RetryMax: 60 * day},
		"nothing kept":             {Keep: time.Hour},
		"a sweep without a source": {SourceEvery: time.Minute},
		"a sweep that is too rare": {SourceEvery: 60 * day, Source: new(orders).source},
	} {
		_, err := w.tryOpen(o)
		require.Error(w.t, err, why)
	}
	_, err := w.db.Open(w.ctx(), nil, outbox.Options{})
	require.Error(w.t, err, "no client")
	p := w.open(outbox.Options{})
	p.settle()
}
