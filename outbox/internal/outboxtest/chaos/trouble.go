package chaos

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// troubled strikes the database again and again while the shop enqueues and
// processes deliver.
func troubled(w *world) {
	database, strike := w.engine.Trouble.Fresh(w.t)
	w.begin(database, limit{}, w.form.hasty)
	w.api.set(line{latency: 15 * time.Millisecond})
	w.click(w.form.conversions)
	w.start(w.engine.Processes)
	enqueued := w.enqueue(w.form.every * time.Duration(w.form.strikes))
	for range w.form.strikes {
		w.wait(w.form.every / 4)
		require.NoError(w.t, strike(w.t.Context()))
		w.figures.kills++
		w.interrupted += workers * len(w.processes)
	}
	if refused := enqueued().refused; !w.engine.Trouble.Refuses {
		// On a slow machine a long wait may become one that is too long.
		assert.LessOrEqual(w.t, refused, w.form.strikes, "refused by Enqueue")
	}
	w.afterKills()
	w.settled()
}

const day = 24 * time.Hour

// pause is the real time of each step of a moved clock.
const pause = 100 * time.Millisecond

// apiDown makes the API fail for three days, each day in another way.
func apiDown(w *world) {
	w.begin(w.engine.Fresh(w.t), limit{}, true)
	w.click(w.form.conversions)
	w.start(w.engine.Processes)
	enqueued := w.enqueue(w.real(2 * day))
	for _, status := range []int{503, 0, 502} {
		w.api.set(line{down: &outage{status}})
		w.passInSteps(day)
	}
	require.Eventually(w.t, func() bool { return !w.stats().PausedSince.IsZero() }, w.form.patience, 50*time.Millisecond, "it does not pause")
	assert.Zero(w.t, enqueued().refused, "refused by Enqueue")
	w.api.set(line{})
	w.recovers()
}

// keyWrong deploys a wrong key and, a day later, the right one.
func keyWrong(w *world) {
	w.begin(w.engine.Fresh(w.t), limit{}, true)
	w.click(w.form.conversions)
	right := w.settings.Key
	w.settings.Key = "wrong-key"
	w.start(w.engine.Processes)
	enqueued := w.enqueue(w.real(day))
	w.passInSteps(day)
	assert.Zero(w.t, enqueued().refused, "refused by Enqueue")
	assert.Zero(w.t, w.stats().Confirmed)
	assert.NotZero(w.t, w.api.seen().refused, "the key was right")
	for _, p := range w.processes {
		p.close()
	}
	w.processes, w.settings.Key = nil, right
	w.start(w.engine.Processes)
	w.recovers()
}

// real returns how long passInSteps takes on average.
func (w *world) real(d time.Duration) time.Duration {
	return time.Duration(int(d/w.form.step)) * pause
}

// passInSteps lets time pass in the form's steps, with a short wait after each.
func (w *world) passInSteps(d time.Duration) {
	w.t.Helper()
	for passed := time.Duration(0); passed < d; passed += w.form.step {
		w.pass(w.form.step)
		w.wait(pause)
	}
}

// recovers lets somewhat more than an hour pass, so that all waiting retries are
// done.
func (w *world) recovers() {
	w.t.Helper()
	for range 8 {
		w.pass(10 * time.Minute)
		w.wait(pause)
	}
	w.settled()
}
