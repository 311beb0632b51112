package chaos

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// besideBroken enqueues one healthy conversion a minute beside many that always get
// a 500. It measures how long the healthy ones take.
func besideBroken(w *world) {
	w.begin(w.engine.Fresh(w.t), limit{}, true)
	w.click(w.form.broken)
	w.api.breaks(w.trackings)
	w.start(1)
	require.Zero(w.t, w.enqueue(0)().refused, "refused by Enqueue")
	const step = 2 * time.Second
	var took []time.Duration
	for range w.form.healthy {
		w.click(1)
		t := w.trackings[len(w.trackings)-1]
		require.NoError(w.t, w.shop.Enqueue(w.t.Context(), t))
		at := time.Duration(-1)
		for passed := time.Duration(0); passed < time.Minute; passed += step {
			w.pass(step)
			w.wait(pause)
			if at < 0 && w.api.Confirmed(t) {
				at = passed + step
			}
		}
		if at < 0 {
			at = time.Hour // still pending
		}
		took = append(took, at)
	}
	slices.Sort(took)
	w.figures.healthy = took[len(took)/2]
	assert.Less(w.t, w.figures.healthy, time.Minute, "the median of the healthy ones")
	w.api.breaks(nil)
	w.recovers()
}
