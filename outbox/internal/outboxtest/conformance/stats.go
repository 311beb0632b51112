package conformance

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// counting tests Stats, List, Lookup and Delivered, and how long conversions are
// stored.
func counting() []story {
	return []story{
		{"StatsOfAnEmptyQueue", statsOfEmpty},
		{"StatsCountEachState", statsCount},
		{"StatsCountConfirmationsByTheHour", statsByHour},
		{"StatsNameTheOldestPending", statsOldest},
		{"DeliveredCountsOneProcess", deliveredCounts},
		{"ListBeginsWithTheLastEnqueued", listOrder},
		{"ListCanBeLeftEarly", listLeftEarly},
		{"LookupGoesByTheIds", lookup},
		{"ConfirmedOnesGoAfterKeep", keep},
		{"NoKeyIsShownAnywhere", noKey},
	}
}

func statsOfEmpty(w *world) {
	p := w.open(outbox.Options{})
	w.turn(100 * day)
	before := w.now()
	s := p.stats()
	assert.WithinRange(w.t, s.Time, before, w.now())
	s.Time = time.Time{}
	assert.Zero(w.t, s)
	for _, state := range []outbox.State{outbox.Pending, outbox.Confirmed, outbox.Dead, outbox.Expired} {
		assert.Empty(w.t, p.list(state))
	}
}

func statsCount(w *world) {
	p := w.open(patient())
	all := w.each(p)
	s := p.stats()
	assert.Equal(w.t, []int{1, 1, 1, 1, 0}, []int{s.Pending, s.Confirmed, s.Dead, s.Expired, s.Swept})
	assert.Equal(w.t, all[outbox.Pending].EnqueuedAt, s.OldestPending)
	died := []time.Time{all[outbox.Dead].FinishedAt, all[outbox.Expired].FinishedAt}
	assert.Equal(w.t, slices.MaxFunc(died, time.Time.Compare), s.LastDied)
	assert.Zero(w.t, s.PausedSince)
	assert.Equal(w.t, 1, s.ConfirmedByHour[23])
	for state, e := range all {
		assert.Equal(w.t, []outbox.Entry{e}, p.list(state))
	}

	web := w.open(outbox.Options{Workers: -1})
	other := web.stats()
	s.Time, other.Time = time.Time{}, time.Time{}
	assert.Equal(w.t, s, other, "every process sees the same")

	n, err := p.RedriveAll(w.ctx(), outbox.Dead)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	p.become(all[outbox.Dead].Tracking, outbox.Confirmed)
	s = p.stats()
	assert.Equal(w.t, all[outbox.Expired].FinishedAt, s.LastDied)
	assert.Equal(w.t, []int{1, 2, 0, 1, 0}, []int{s.Pending, s.Confirmed, s.Dead, s.Expired, s.Swept})
}

func deliveredCounts(w *world) {
	p, web := w.open(patient()), w.open(outbox.Options{Workers: -1})
	assert.Zero(w.t, p.Delivered())
	w.each(p)
	want := outbox.Delivered{Confirmed: 1, Dead: 1, Expired: 1, Retried: 1}
	w.until("all are counted", func() bool { return p.Delivered() == want })
	n, err := p.RedriveAll(w.ctx(), outbox.Dead)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	want.Confirmed++
	w.until("a redriven one counts again", func() bool { return p.Delivered() == want })
	assert.Zero(w.t, web.Delivered(), "a process that delivers nothing")
	again := w.open(patient())
	assert.Zero(w.t, again.Delivered(), "a process that has just started")
}

func statsByHour(w *world) {
	p := w.open(outbox.Options{})
	for hour := range 3 {
		p.enqueue(w.clicks(hour + 1)...)
		w.until("they are confirmed", func() bool { return p.stats().Pending == 0 })
		w.pass(61 * time.Minute)
	}
	p.enqueue(w.unknown())
	w.until("it is dead", func() bool { return p.stats().Dead == 1 })
	s := p.stats()
	assert.Equal(w.t, 6, s.Confirmed)
	assert.Equal(w.t, [24]int{20: 1, 21: 2, 22: 3}, s.ConfirmedByHour)
	w.pass(21 * time.Hour)
	assert.Equal(w.t, [24]int{0: 2, 1: 3}, p.stats().ConfirmedByHour)
	w.pass(3 * time.Hour)
	s = p.stats()
	assert.Zero(w.t, s.ConfirmedByHour)
	assert.Equal(w.t, 6, s.Confirmed)
}

func statsOldest(w *world) {
	p := w.open(outbox.Options{})
	ts := w.clicks(3)
	for _, t := range ts {
		w.wire.say(t, 500, "")
		p.enqueue(t)
		w.pass(time.Hour)
	}
	for _, t := range ts {
		assert.Equal(w.t, p.find(t).EnqueuedAt, p.stats().OldestPending)
		w.wire.unsay(t)
		w.passUntil(time.Minute, "it is confirmed", func() bool { return p.find(t).State == outbox.Confirmed })
	}
	assert.Zero(w.t, p.stats().OldestPending)
}

func listOrder(w *world) {
	web := w.open(outbox.Options{Workers: -1})
	const all = 230 // more than a page of either engine
	ts := w.clicks(all)
	web.enqueue(ts...)
	slices.Reverse(ts)
	assertOrder(w, ts, web.list(outbox.Pending))

	worker := w.open(outbox.Options{})
	worker.delivered(all)
	assertOrder(w, ts, web.list(outbox.Confirmed))
	assert.Empty(w.t, web.list(outbox.Pending))
}

func assertOrder(w *world, ts []sparkloop.Tracking, entries []outbox.Entry) {
	w.t.Helper()
	listed := make([]sparkloop.Tracking, len(entries))
	for i, e := range entries {
		listed[i] = e.Tracking
	}
	assert.Equal(w.t, ts, listed)
}

func listLeftEarly(w *world) {
	p := w.open(outbox.Options{Workers: -1})
	p.enqueue(w.clicks(5)...)
	for range 50 {
		for e, err := range p.List(w.ctx(), outbox.Pending) {
			require.NoError(w.t, err)
			again, ok, err := p.Lookup(w.ctx(), e.Tracking) // in the middle of the list
			require.NoError(w.t, err)
			require.True(w.t, ok)
			assert.Equal(w.t, e, again)
			break
		}
	}
	p.enqueue(w.click())
	assert.Len(w.t, p.list(outbox.Pending), 6)
}

func lookup(w *world) {
	p := w.open(outbox.Options{})
	t := w.click()
	p.enqueue(t)
	e := p.become(t, outbox.Confirmed)
	ids := sparkloop.Tracking{Offer: t.Offer, Submission: t.Submission}
	assert.Equal(w.t, e, p.find(ids))
	p.absent(w.click())
	p.absent(sparkloop.Tracking{Offer: t.Submission, Submission: t.Offer})
	for _, bad := range invalid(w) {
		_, ok, err := p.Lookup(w.ctx(), bad) // an engine may return an error
		assert.False(w.t, ok && err == nil)
	}
}

func keep(w *world) {
	p := w.open(outbox.Options{Keep: 2 * day})
	old, dead := w.click(), w.unknown()
	p.enqueue(old, dead)
	p.become(old, outbox.Confirmed)
	before := p.become(dead, outbox.Dead)
	w.pass(day)
	young := w.click()
	p.enqueue(young)
	p.become(young, outbox.Confirmed)

	w.pass(day + time.Hour)
	w.until("the old one is deleted", func() bool { return p.stats().Confirmed == 1 })
	p.absent(old)
	assert.Equal(w.t, outbox.Confirmed, p.find(young).State)
	assert.Equal(w.t, before, p.find(dead))
	w.pass(day)
	w.until("the young one is deleted", func() bool { return p.stats().Confirmed == 0 })
	assert.Equal(w.t, before, p.find(dead))

	p.enqueue(old)
	e := p.become(old, outbox.Confirmed)
	assert.Contains(w.t, e.Reason, "must be unique", "SparkLoop stores it for longer")
}
