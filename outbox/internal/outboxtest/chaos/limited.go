package chaos

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// limited delivers with several processes as fast as the limit allows, and kills
// all of them halfway.
func limited(w *world, processes int) {
	l := w.form.limit
	w.begin(w.engine.Fresh(w.t), l, w.form.hasty)
	// Slots lie a window and its tolerance apart for each request of the limit.
	every := (l.window + min(time.Second, l.window/4)) / time.Duration(l.requests)
	// There are more conversions than slots, lost slots of dead processes included.
	w.click(2*int(l.run/every) + processes*workers)
	require.Zero(w.t, w.enqueue(0)().refused, "refused by Enqueue")
	w.settings.Usual = true
	w.start(processes)
	w.figures.share = w.share(time.Time{}, every)

	for _, p := range w.processes {
		p.kill()
		w.figures.kills++
		w.interrupted += workers
	}
	died := time.Now()
	w.processes = nil
	w.start(processes)
	w.figures.shareAfter = w.share(died, every)
	w.afterKills()
	w.settled()
}

// share returns the used share of the limit in a run, beginning with the first
// request after a time.
func (w *world) share(since time.Time, every time.Duration) float64 {
	w.t.Helper()
	l, n := w.form.limit, 0
	require.Eventually(w.t, func() bool {
		n = w.api.within(since, l.run)
		return n > 0
	}, w.form.patience, 10*time.Millisecond, "no requests")
	share := float64(n) / (float64(l.requests) * l.run.Seconds() / l.window.Seconds())
	if l.share > 0 {
		assert.GreaterOrEqual(w.t, share, l.share, "of the limit")
	} else {
		// In the short form a busy machine costs a third of the slots.
		assert.GreaterOrEqual(w.t, float64(n), 0.5*l.run.Seconds()/every.Seconds(), "of the slots")
	}
	return share
}
