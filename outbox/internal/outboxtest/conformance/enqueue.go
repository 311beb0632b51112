package conformance

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// enqueuing tests which conversions Enqueue stores.
func enqueuing() []story {
	return []story{
		{"EnqueuedIsConfirmed", enqueuedIsConfirmed},
		{"EnqueuedTwiceIsDeliveredOnce", enqueuedTwice},
		{"EnqueuedAgainIsToldWithItsState", enqueuedAgainIsTold},
		{"FirstNewPassesOverWhatIsKnown", firstNew},
		{"EnqueuedByManyAtOnceIsDeliveredOnce", enqueuedByMany},
		{"IdsThatDifferInCaseOrOfferAreDifferentConversions", idsDiffer},
		{"TestClickIsStoredAsOne", testClick},
		{"ZeroTrackingIsNothingToDo", zeroTracking},
		{"InvalidTrackingIsRefusedAndNotStored", invalidTracking},
		{"InvalidTrackingLetsTheOrderCommit", invalidTrackingInOrder},
		{"KnownTrackingLetsTheOrderCommit", knownTrackingInOrder},
		{"RolledBackIsNotThere", rolledBack},
		{"CommittedWithTheOrderIsDelivered", committed},
		{"EnqueueOnlyStoresForAnotherProcess", enqueueOnly},
	}
}

func enqueuedIsConfirmed(w *world) {
	p := w.open(outbox.Options{})
	assert.Zero(w.t, w.wire.count(), "opening a queue sends nothing")
	t := w.click()
	before := w.now().Add(-time.Second)
	p.enqueue(t)
	e := p.become(t, outbox.Confirmed)

	assert.True(w.t, w.api.Confirmed(t))
	assert.Equal(w.t, 1, w.wire.count(t))
	assert.Equal(w.t, t, e.Tracking)
	assert.Equal(w.t, 1, e.Attempts)
	assert.Equal(w.t, "Conversion tracked successfully", e.Reason)
	assert.WithinRange(w.t, e.EnqueuedAt, before, w.now())
	assert.WithinRange(w.t, e.FinishedAt, e.EnqueuedAt, w.now())
	assert.Zero(w.t, e.DueAt)
	assert.NotZero(w.t, e.ID)
}

// testClick is sent like any other conversion, and is marked as a test.
func testClick(w *world) {
	p := w.open(outbox.Options{})
	t, swept := w.click(), w.click()
	t.Test, swept.Test = true, true
	p.enqueue(t)
	assert.Equal(w.t, t, p.become(t, outbox.Confirmed).Tracking)
	require.Len(w.t, p.list(outbox.Confirmed), 1)
	assert.True(w.t, p.list(outbox.Confirmed)[0].Tracking.Test)
	w.until("the hook runs", func() bool { confirmed, _, _ := p.told(); return len(confirmed) == 1 && confirmed[0].Tracking.Test })
	source := w.open(outbox.Options{Source: func(context.Context, time.Time) ([]sparkloop.Tracking, error) {
		return []sparkloop.Tracking{swept}, nil
	}})
	assert.Equal(w.t, swept, source.become(swept, outbox.Confirmed).Tracking)
}

func enqueuedTwice(w *world) {
	p := w.open(patient())
	before := w.each(p)
	for s, e := range before {
		later, unknown := e.Tracking, e.Tracking
		later.CapturedAt, unknown.CapturedAt = later.CapturedAt.Add(time.Hour), time.Time{}
		for _, again := range []sparkloop.Tracking{e.Tracking, later, unknown} {
			p.enqueue(again)
			require.NoError(w.t, p.enqueueTx(again, true))
		}
		require.NoError(w.t, p.enqueueTx(e.Tracking, false))
		assert.Equal(w.t, e, p.find(e.Tracking), "%s", s)
	}
	p.settle()
	for s, e := range before {
		assert.Equal(w.t, e, p.find(e.Tracking), "%s", s)
		assert.Equal(w.t, 1, w.wire.count(e.Tracking), "%s", s)
	}
	assert.Len(w.t, p.list(outbox.Pending), 1)
	assert.Len(w.t, p.list(outbox.Dead), 1)
	assert.Len(w.t, p.list(outbox.Expired), 1)
	assert.Len(w.t, p.list(outbox.Confirmed), 2, "including the conversion of settle")

	w.pass(2 * time.Hour)
	t := before[outbox.Pending].Tracking
	p.become(t, outbox.Confirmed)
	assert.Equal(w.t, 2, w.wire.count(t))
}

const again = `level=INFO msg="sparkloop outbox: already enqueued, unchanged" conversion=`

func enqueuedAgainIsTold(w *world) {
	p := w.open(patient())
	entries := w.each(p)
	w.never("a new conversion is called known", func() bool { return p.log.has(again) })
	for s, e := range entries {
		line := again + e.Tracking.Key() + " state=" + string(s)
		p.enqueue(e.Tracking)
		w.until("Enqueue logs "+line, func() bool { return p.log.count(line) == 1 })
		require.NoError(w.t, p.enqueueTx(e.Tracking, true))
		w.until("EnqueueTx logs "+line, func() bool { return p.log.count(line) == 2 })
	}
	t := w.click()
	require.NoError(w.t, p.enqueueTx(t, true))
	p.become(t, outbox.Confirmed)
	assert.Zero(w.t, p.log.count(again+t.Key()))
}

func firstNew(w *world) {
	p := w.open(patient())
	t := w.click()
	enqueued := outbox.Enqueued(p)
	assert.False(w.t, enqueued(w.ctx(), t))
	for s, e := range w.each(p) {
		assert.True(w.t, enqueued(w.ctx(), e.Tracking), "%s", s)
		got, err := outbox.FirstNew(w.ctx(), p, e.Tracking, t)
		require.NoError(w.t, err)
		assert.Equal(w.t, t, got, "%s", s)
	}
	p.crash()
	ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
	defer cancel()
	got, err := outbox.FirstNew(ctx, p, sparkloop.Tracking{}, t)
	require.Error(w.t, err)
	assert.Equal(w.t, t, got)
	assert.False(w.t, enqueued(ctx, t))
}

func enqueuedByMany(w *world) {
	ps := []*process{w.open(outbox.Options{}), w.open(outbox.Options{})}
	ts := w.clicks(5)
	var work sync.WaitGroup
	for i := range 12 {
		work.Go(func() {
			for _, t := range ts {
				p := ps[i%2]
				if i%3 == 0 {
					assert.NoError(w.t, p.enqueueTx(t, true))
				} else {
					assert.NoError(w.t, p.Enqueue(w.ctx(), t))
				}
			}
		})
	}
	work.Wait()
	ps[0].delivered(len(ts))
	ps[0].settle()
	for _, t := range ts {
		assert.Equal(w.t, 1, w.wire.count(t))
	}
}

func idsDiffer(w *world) {
	p := w.open(outbox.Options{})
	t := w.click()
	other := w.api.AddOffer(sparkloop.Offer{})
	upper, elsewhere := t, t
	upper.Submission = strings.ToUpper(t.Submission)
	elsewhere.Offer = other.UUID
	p.enqueue(t, upper, elsewhere)
	p.become(t, outbox.Confirmed)
	p.become(upper, outbox.Dead)
	p.become(elsewhere, outbox.Dead)
}

func zeroTracking(w *world) {
	p := w.open(outbox.Options{})
	require.NoError(w.t, p.Enqueue(w.ctx(), sparkloop.Tracking{}))
	require.NoError(w.t, p.Enqueue(w.ctx(), sparkloop.Tracking{CapturedAt: w.now()}))
	require.NoError(w.t, p.enqueueTx(sparkloop.Tracking{}, true))
	orders, err := w.db.Orders(w.ctx())
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, orders)
	p.absent(sparkloop.Tracking{})
	assertEmpty(w, p)
}

func assertEmpty(w *world, p *process) {
	w.t.Helper()
	s := p.stats()
	assert.Zero(w.t, s.Pending+s.Confirmed+s.Dead+s.Expired+s.Swept)
	assert.Zero(w.t, w.wire.count())
}

// invalid are trackings that Validate rejects.
func invalid(w *world) map[string]sparkloop.Tracking {
	good := w.click()
	spaced, long, halved, early := good, good, good, good
	spaced.Offer = "offer 1"
	long.Submission = strings.Repeat("s", 129)
	halved.Submission = ""
	early.CapturedAt = time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC)
	var unread sparkloop.Tracking
	require.NoError(w.t, unread.Scan("v9.from.a.newer.version"))
	return map[string]sparkloop.Tracking{
		"a space": spaced, "too long": long, "no submission": halved, "before 1970": early, "not to be read": unread,
	}
}

func invalidTracking(w *world) {
	p := w.open(outbox.Options{})
	for why, t := range invalid(w) {
		require.ErrorIs(w.t, p.Enqueue(w.ctx(), t), sparkloop.ErrInvalidTracking, why)
	}
	assertEmpty(w, p)
}

func invalidTrackingInOrder(w *world) {
	p := w.open(outbox.Options{})
	all := invalid(w)
	for why, t := range all {
		require.ErrorIs(w.t, p.enqueueTx(t, true), sparkloop.ErrInvalidTracking, why)
	}
	orders, err := w.db.Orders(w.ctx())
	require.NoError(w.t, err)
	assert.Equal(w.t, len(all), orders)
	assertEmpty(w, p)
}

func knownTrackingInOrder(w *world) {
	p := w.open(patient())
	all := w.each(p)
	for s, e := range all {
		require.NoError(w.t, p.enqueueTx(e.Tracking, true), "%s", s)
	}
	orders, err := w.db.Orders(w.ctx())
	require.NoError(w.t, err)
	assert.Equal(w.t, len(all), orders)
}

func rolledBack(w *world) {
	p := w.open(outbox.Options{})
	t := w.click()
	require.NoError(w.t, p.enqueueTx(t, false))
	p.absent(t)
	p.settle()
	p.absent(t)
	assert.Zero(w.t, w.wire.count(t))
	orders, err := w.db.Orders(w.ctx())
	require.NoError(w.t, err)
	assert.Zero(w.t, orders)

	require.NoError(w.t, p.enqueueTx(t, true), "the buyer repeats the purchase")
	p.become(t, outbox.Confirmed)
}

func committed(w *world) {
	p := w.open(outbox.Options{})
	ts := w.clicks(5)
	for _, t := range ts {
		require.NoError(w.t, p.enqueueTx(t, true))
	}
	orders, err := w.db.Orders(w.ctx())
	require.NoError(w.t, err)
	assert.Equal(w.t, len(ts), orders)
	p.delivered(len(ts))
}

func enqueueOnly(w *world) {
	web := w.open(outbox.Options{Workers: -1})
	ts := w.clicks(3)
	web.enqueue(ts[0], ts[1])
	require.NoError(w.t, web.enqueueTx(ts[2], true))
	w.never("an enqueue-only process sends something", func() bool { return w.wire.count() > 0 })
	assert.Equal(w.t, len(ts), web.stats().Pending)

	worker := w.open(outbox.Options{})
	web.delivered(len(ts))
	t := w.click()
	web.enqueue(t) // the other process runs and gets no notice of it
	worker.become(t, outbox.Confirmed)
	worker.tells(len(ts)+1, 0)
	web.tells(0, 0)
}
