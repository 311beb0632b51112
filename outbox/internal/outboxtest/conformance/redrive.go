package conformance

import (
	"math"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// redriving tests Redrive and RedriveAll.
func redriving() []story {
	return []story{
		{"RedriveBringsBackDeadAndExpiredOnes", redriveByID},
		{"RedriveOfWhatStillFailsTellsAgain", redriveInVain},
		{"RedriveAllBringsBackAState", redriveAll},
		{"RedriveAllOfManyBringsBackAll", redriveMany},
		{"RedrivenOnesWaitFromThenOn", redrivenWaits},
		{"RedriveInAnEnqueueOnlyProcess", redriveElsewhere},
	}
}

// redrivenWaits redrives a conversion that died days ago. Its wait begins anew.
func redrivenWaits(w *world) {
	p := w.open(outbox.Options{})
	dead := w.unknown()
	p.enqueue(dead)
	p.become(dead, outbox.Dead)
	p.close()
	w.pass(3 * day)
	web := w.open(outbox.Options{Workers: -1})
	before := w.now().Add(-time.Second)
	n, err := web.RedriveAll(w.ctx(), outbox.Dead)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	assert.WithinRange(w.t, web.stats().OldestPending, before, w.now())
	w.pass(10 * time.Minute)
	t := w.click()
	web.enqueue(t)
	assert.WithinRange(w.t, web.stats().OldestPending, before, w.now().Add(-9*time.Minute), "the redriven one is the oldest")
	assert.Empty(w.t, web.stats().Problems())
}

func redriveByID(w *world) {
	p := w.open(patient())
	all := w.each(p)
	ids := []int64{math.MinInt64, -1, 0, math.MaxInt64, 1 << 40}
	for _, e := range all {
		ids = append(ids, e.ID, e.ID)
	}
	n, err := p.Redrive(w.ctx(), ids...)
	require.NoError(w.t, err)
	assert.Equal(w.t, 2, n)
	for _, s := range []outbox.State{outbox.Dead, outbox.Expired} {
		e := p.become(all[s].Tracking, outbox.Confirmed)
		assert.Equal(w.t, all[s].ID, e.ID)
		assert.Equal(w.t, 1, e.Attempts, "since it was redriven")
		assert.Equal(w.t, all[s].EnqueuedAt, e.EnqueuedAt)
		assert.Equal(w.t, all[s].Tracking, e.Tracking)
	}
	assert.Equal(w.t, all[outbox.Pending], p.find(all[outbox.Pending].Tracking))
	assert.Equal(w.t, all[outbox.Confirmed], p.find(all[outbox.Confirmed].Tracking))
	assert.Zero(w.t, p.stats().LastDied)

	n, err = p.Redrive(w.ctx(), ids...)
	require.NoError(w.t, err)
	assert.Zero(w.t, n)
	n, err = p.Redrive(w.ctx())
	require.NoError(w.t, err)
	assert.Zero(w.t, n)
	p.settle()
	assert.Equal(w.t, 1, w.wire.count(all[outbox.Confirmed].Tracking))
	assert.Equal(w.t, 1, w.wire.count(all[outbox.Pending].Tracking))
}

func redriveInVain(w *world) {
	p := w.open(outbox.Options{})
	t := w.unknown()
	p.enqueue(t)
	e := p.become(t, outbox.Dead)
	for again := 2; again <= 3; again++ {
		n, err := p.Redrive(w.ctx(), e.ID)
		require.NoError(w.t, err)
		assert.Equal(w.t, 1, n)
		w.until("a person is warned again", func() bool { _, died, _ := p.told(); return len(died) == again })
		assert.Equal(w.t, 1, p.become(t, outbox.Dead).Attempts)
		// River may store the end of the last attempt only now, which repeats the
		// attempt in progress.
		assert.GreaterOrEqual(w.t, w.wire.count(t), again)
	}
}

func redriveAll(w *world) {
	p := w.open(patient())
	all := w.each(p)
	for _, s := range []outbox.State{outbox.Pending, outbox.Confirmed, "", "lost"} {
		n, err := p.RedriveAll(w.ctx(), s)
		require.Error(w.t, err, "%q", s)
		assert.Zero(w.t, n)
	}
	for s, e := range all {
		assert.Equal(w.t, e, p.find(e.Tracking), "%s", s)
	}

	n, err := p.RedriveAll(w.ctx(), outbox.Dead)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	p.become(all[outbox.Dead].Tracking, outbox.Confirmed)
	assert.Equal(w.t, all[outbox.Expired], p.find(all[outbox.Expired].Tracking))

	n, err = p.RedriveAll(w.ctx(), outbox.Expired)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	p.become(all[outbox.Expired].Tracking, outbox.Confirmed)
	assert.Equal(w.t, all[outbox.Pending], p.find(all[outbox.Pending].Tracking))

	for _, s := range []outbox.State{outbox.Dead, outbox.Expired} {
		n, err = p.RedriveAll(w.ctx(), s)
		require.NoError(w.t, err)
		assert.Zero(w.t, n, "none is left")
	}
}

func redriveMany(w *world) {
	p := w.open(outbox.Options{})
	const all = 120
	ts := w.clicks(all)
	for _, t := range ts {
		w.wire.say(t, 404, `{"error":"Submission not found"}`)
	}
	p.enqueue(ts...)
	w.until("all are dead", func() bool { return p.stats().Dead == all })
	for _, t := range ts {
		w.wire.unsay(t)
	}
	n, err := p.RedriveAll(w.ctx(), outbox.Dead)
	require.NoError(w.t, err)
	assert.Equal(w.t, all, n)
	p.delivered(all)
}

func redriveElsewhere(w *world) {
	worker := w.open(patient())
	all := w.each(worker)
	worker.close()
	web := w.open(outbox.Options{Workers: -1})
	before := w.now().Add(-time.Second)
	n, err := web.Redrive(w.ctx(), all[outbox.Dead].ID)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	n, err = web.RedriveAll(w.ctx(), outbox.Expired)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	for _, t := range []sparkloop.Tracking{all[outbox.Dead].Tracking, all[outbox.Expired].Tracking} {
		e := web.find(t)
		assert.Equal(w.t, outbox.Pending, e.State)
		assert.Zero(w.t, e.Attempts)
		assert.Zero(w.t, e.FinishedAt)
		assert.WithinRange(w.t, e.DueAt, before, w.now())
	}
	assert.Equal(w.t, 3, web.stats().Pending)

	w.pass(2 * time.Hour)
	w.open(outbox.Options{}).delivered(4)
}
