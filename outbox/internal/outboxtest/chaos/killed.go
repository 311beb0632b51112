package chaos

import (
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// workersKilled kills the delivering processes in turn, while the shop enqueues
// and the network is faulty.
func workersKilled(w *world) {
	w.begin(w.engine.Fresh(w.t), limit{}, w.form.hasty)
	w.api.set(line{lost: 0.02, failed: 0.05, reset: 0.02, latency: 15 * time.Millisecond})
	w.click(w.form.conversions)
	w.start(w.engine.Processes)
	enqueued := w.enqueue(w.form.every * time.Duration(w.form.kills))
	for i := range w.form.kills {
		w.wait(w.form.every)
		w.kill(i % len(w.processes))
	}
	assert.Zero(w.t, enqueued().refused, "refused by Enqueue")
	w.afterKills()
	w.settled()
}

// openersKilled kills processes at random moments of their start, on an empty
// database.
func openersKilled(w *world) {
	w.prepare(w.engine.Fresh(w.t), limit{}, w.form.hasty)
	start(w.t, w.settings, nil).kill()
	takes := time.Since(w.began)
	for range w.form.kills {
		w.settings.Database = w.engine.Fresh(w.t)
		for range 3 {
			p := launch(w.t, w.settings, nil)
			w.wait(takes / 2)
			p.kill()
			w.figures.kills++
		}
		start(w.t, w.settings, nil).kill()
	}
	w.open()
	w.click(w.form.conversions / 10)
	w.start(w.engine.Processes)
	assert.Zero(w.t, w.enqueue(0)().refused, "refused by Enqueue")
	w.settled()
}

// afterKills ends the claims of dead processes, in the short form.
func (w *world) afterKills() {
	if w.form.hasty {
		w.pass(2 * time.Minute)
	}
}

// enqueuersKilled kills the processes that enqueue and deliver, while each has
// calls of Enqueue in progress.
func enqueuersKilled(w *world) {
	w.begin(w.engine.Fresh(w.t), limit{}, w.form.hasty)
	w.click(w.form.conversions)
	b := &buyers{handed: make(map[*process]map[string]sparkloop.Tracking), waiting: w.trackings}
	for range w.engine.Processes {
		w.processes = append(w.processes, b.send(w))
	}
	w.figures.processes = len(w.processes)
	checked := 0
	for i := range w.form.kills {
		b.until(w, (i+1)*len(w.trackings)/(w.form.kills+1))
		n := i % len(w.processes)
		w.processes[n].kill()
		w.figures.kills++
		w.interrupted += workers
		checked = b.check(w, checked)
		b.comeBack(w.processes[n])
		w.processes[n] = b.send(w)
	}
	b.until(w, len(w.trackings))
	b.check(w, checked)
	w.afterKills()
	w.settled()
}

// atOnce is how many conversions a process enqueues at a time.
const atOnce = 16

// buyers send conversions to processes. Like a webhook, they repeat each one until
// it is acknowledged.
type buyers struct {
	mu      sync.Mutex
	waiting []sparkloop.Tracking
	handed  map[*process]map[string]sparkloop.Tracking
	stored  []sparkloop.Tracking // acknowledged
}

// send starts a process, and buyers that use it.
func (b *buyers) send(w *world) *process {
	p := start(w.t, w.settings, b.acknowledged)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handed[p] = make(map[string]sparkloop.Tracking)
	for range atOnce {
		b.next(p)
	}
	return p
}

// next sends one conversion to a process.
func (b *buyers) next(p *process) {
	if len(b.waiting) == 0 {
		return
	}
	t := b.waiting[0]
	b.waiting = b.waiting[1:]
	b.handed[p][t.Key()] = t
	p.tell(tellEnqueue, t.Encode())
}

func (b *buyers) acknowledged(p *process, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stored = append(b.stored, b.handed[p][key])
	delete(b.handed[p], key)
	b.next(p)
}

// comeBack queues the conversions again that a dead process has not acknowledged.
func (b *buyers) comeBack(dead *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.handed[dead] {
		b.waiting = append(b.waiting, t)
	}
	delete(b.handed, dead)
}

// until waits until n conversions are acknowledged.
func (b *buyers) until(w *world, n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.stored) >= n
	}, w.form.patience, time.Millisecond, "%d are not acknowledged", n)
}

// check looks up the acknowledged conversions, except the first ones, which it has
// checked before. It returns the number of checked ones.
func (b *buyers) check(w *world, before int) (checked int) {
	w.t.Helper()
	b.mu.Lock()
	stored := b.stored
	b.mu.Unlock()
	for _, t := range stored[before:] {
		e, found, err := w.shop.Lookup(w.t.Context(), t)
		require.NoError(w.t, err)
		require.True(w.t, found, "%s was acknowledged and is not there", t.Key())
		require.Contains(w.t, []outbox.State{outbox.Pending, outbox.Confirmed}, e.State)
	}
	return len(stored)
}
