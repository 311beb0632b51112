package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// sweeping tests Options.Source.
func sweeping() []story {
	return []story{
		{"SweepBringsInWhatIsMissing", sweepBringsIn},
		{"SweepLeavesWhatIsKnown", sweepLeavesKnown},
		{"SweepOfManyBringsInAll", sweepOfMany},
		{"SweepsAtOpenAndThenEverySourceEvery", sweepsEvery},
		{"SweepGoesBackNoFurtherThanKeep", sweepWithinKeep},
		{"SourceThatFailsIsAskedAgain", sourceFails},
		{"SourceThatHangsHoldsUpNobody", sourceHangs},
		{"SourceThatNeverReturnsStopsNothing", sourceNeverReturns},
		{"EnqueueOnlyDoesNotSweep", enqueueOnlyDoesNotSweep},
		{"ProcessesSweepTogether", sweepTogether},
	}
}

// orders are a merchant's orders. They note the calls of the source.
type orders struct {
	w *world

	mu     sync.Mutex
	ts     []sparkloop.Tracking
	asked  []time.Time // on the queue's clock
	since  []time.Time
	answer func(n int) error // if not nil, returns the error of the nth call
}

func (o *orders) source(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked, o.since = append(o.asked, o.w.now()), append(o.since, since)
	if o.answer != nil {
		if err := o.answer(len(o.asked)); err != nil {
			return nil, err
		}
	}
	return o.ts, nil
}

func (o *orders) calls() (asked, since []time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]time.Time(nil), o.asked...), append([]time.Time(nil), o.since...)
}

func (o *orders) add(ts ...sparkloop.Tracking) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ts = append(o.ts, ts...)
}

func (o *orders) options() outbox.Options { return outbox.Options{Source: o.source} }

func sweepBringsIn(w *world) {
	missing, known := w.clicks(3), w.clicks(2)
	w.open(outbox.Options{Workers: -1}).enqueue(known...)
	book := &orders{w: w}
	for _, t := range invalid(w) {
		book.add(t)
	}
	book.add(sparkloop.Tracking{}, sparkloop.Tracking{CapturedAt: w.now()}, missing[0])
	book.add(missing...)
	book.add(known...)
	p := w.open(book.options())
	p.delivered(len(missing) + len(known))
	s := p.stats()
	assert.Equal(w.t, len(missing), s.Swept)
	for _, t := range append(missing, known...) {
		assert.Equal(w.t, 1, w.wire.count(t))
		assert.Equal(w.t, t, p.find(t).Tracking)
	}
	assert.Equal(w.t, 1, p.log.warnings("swept=3"), "the program does not enqueue somewhere")
}

func sweepLeavesKnown(w *world) {
	first := w.open(patient())
	all := w.each(first)
	first.close()
	book := &orders{w: w}
	for _, e := range all {
		book.add(e.Tracking)
	}
	t := w.click()
	book.add(t)
	o := patient()
	o.Source = book.source
	p := w.open(o)
	p.become(t, outbox.Confirmed)
	for s, e := range all {
		assert.Equal(w.t, e, p.find(e.Tracking), "%s", s)
	}
	assert.Equal(w.t, 1, p.stats().Swept)
}

func sweepOfMany(w *world) {
	const all = 510 // more than one batch for an engine
	book := &orders{w: w}
	book.add(w.clicks(all)...)
	w.fail(sparklooptest.Status(503, "")) // so that no delivery is in progress
	o := patient()
	o.Source = book.source
	p := w.open(o)
	w.until("half of them are enqueued", func() bool { return p.stats().Pending > all/2 }) // a slow disk needs its time
	w.until("all are enqueued", func() bool { return p.log.warnings("swept=510") == 1 })
	s := p.stats()
	assert.Equal(w.t, all, s.Swept)
	assert.Equal(w.t, all, s.Pending)
}

func sweepsEvery(w *world) {
	book := &orders{w: w}
	o := book.options()
	o.SourceEvery = 3 * time.Hour
	opened := w.now()
	p := w.open(o)
	w.until("the source is called at Open", func() bool { asked, _ := book.calls(); return len(asked) == 1 })
	asked, since := book.calls()
	assert.WithinRange(w.t, since[0], opened.Add(-45*day-time.Second), asked[0].Add(-45*day))
	assert.Equal(w.t, time.UTC, since[0].Location())

	w.pass(2 * time.Hour)
	w.never("it is asked too early", func() bool { asked, _ := book.calls(); return len(asked) > 1 })
	t := w.click()
	book.add(t)
	w.pass(2 * time.Hour)
	w.until("the source is called again", func() bool { asked, _ := book.calls(); return len(asked) == 2 })
	asked, since = book.calls()
	assert.WithinRange(w.t, since[1], opened.Add(-day-time.Second), asked[0].Add(-day+time.Second), "since the last sweep, plus a day")
	p.become(t, outbox.Confirmed)
	assert.Equal(w.t, 1, p.stats().Swept)

	w.pass(3*time.Hour + time.Second)
	w.until("the source is called a third time", func() bool { asked, _ := book.calls(); return len(asked) == 3 })
	third, since := book.calls()
	assert.WithinRange(w.t, since[2], asked[1].Add(-day-2*time.Second), third[1].Add(-day+time.Second))
}

func sweepWithinKeep(w *world) {
	book := &orders{w: w}
	o := book.options()
	o.Keep = 10 * day
	opened := w.now()
	w.open(o)
	w.until("the source is called at Open", func() bool { asked, _ := book.calls(); return len(asked) == 1 })
	asked, since := book.calls()
	assert.WithinRange(w.t, since[0], opened.Add(-9*day-time.Second), asked[0].Add(-9*day))
}

func sourceFails(w *world) {
	t := w.click()
	book := &orders{w: w}
	book.add(t)
	book.answer = func(n int) error {
		switch n {
		case 1:
			return errors.New("the shop's database is away")
		case 2:
			panic("the shop's own mistake")
		}
		return nil
	}
	p := w.open(book.options())
	p.settle()
	for n := 1; n < 3; n++ {
		w.until("the source is called", func() bool { asked, _ := book.calls(); return len(asked) == n })
		w.pass(61 * time.Second)
	}
	p.become(t, outbox.Confirmed)
	p.settle()
	assert.Equal(w.t, 1, p.stats().Swept)
	assert.Equal(w.t, 1, p.log.warnings("the shop's database is away"))
	assert.Equal(w.t, 1, p.log.warnings("the shop's own mistake"))
	_, since := book.calls()
	for _, s := range since {
		assert.WithinRange(w.t, s, w.now().Add(-46*day), w.now().Add(-44*day), "nothing was swept before")
	}
}

func sourceHangs(w *world) {
	asked := make(chan struct{})
	p := w.open(outbox.Options{Source: func(ctx context.Context, _ time.Time) ([]sparkloop.Tracking, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	<-asked
	p.settle()
	p.close()
}

// sourceNeverReturns has a source that does not look at its context.
func sourceNeverReturns(w *world) {
	asked, leave := make(chan struct{}), make(chan struct{})
	defer close(leave)
	p := w.open(outbox.Options{Keep: 2 * day, Source: func(context.Context, time.Time) ([]sparkloop.Tracking, error) {
		close(asked)
		<-leave
		return nil, nil
	}})
	<-asked
	p.settle()
	w.pass(3 * day)
	w.until("it tidies up", func() bool { return p.stats().Confirmed == 0 })
	p.close()
}

func enqueueOnlyDoesNotSweep(w *world) {
	book := &orders{w: w}
	book.add(w.click())
	o := book.options()
	o.Workers = -1
	w.open(o)
	w.never("it asks", func() bool { asked, _ := book.calls(); return len(asked) > 0 })
}

func sweepTogether(w *world) {
	books := []*orders{{w: w}, {w: w}}
	ts := w.clicks(5)
	var ps []*process
	for _, book := range books {
		book.add(ts...)
		ps = append(ps, w.open(book.options()))
	}
	ps[0].delivered(len(ts))
	for _, book := range books {
		w.until("each calls the source at Open", func() bool { asked, _ := book.calls(); return len(asked) == 1 })
	}
	assert.Equal(w.t, len(ts), ps[0].stats().Swept, "each is counted once")

	late := w.click()
	for _, book := range books {
		book.add(late)
	}
	w.pass(2 * time.Hour)
	ps[1].become(late, outbox.Confirmed)
	assert.Equal(w.t, len(ts)+1, ps[1].stats().Swept)
	for _, t := range append(ts, late) {
		assert.Equal(w.t, 1, w.wire.count(t))
	}

	third := &orders{w: w}
	w.open(third.options())
	w.until("a later process calls the source at Open", func() bool { asked, _ := third.calls(); return len(asked) == 1 })
	asked, since := third.calls()
	assert.WithinRange(w.t, since[0], asked[0].Add(-45*day-time.Second), asked[0].Add(-45*day), "for the whole reach")
}
