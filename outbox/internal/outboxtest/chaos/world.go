package chaos

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// world is the setting of a story: one database, one SparkLoop, one clock, the shop
// in this process, which only enqueues, and processes that deliver.
type world struct {
	t      *testing.T
	engine Engine
	form   form

	api       *api
	settings  config // for new processes
	shop      outbox.Queue
	processes []*process
	ahead     atomic.Int64 // of the real clock

	beside *world // to compare with, or nil

	began time.Time
	// interrupted bounds the interrupted deliveries: those of a killed process, and
	// all of them when the database was struck or the clock was moved. A moved clock
	// also ends claims of running processes.
	interrupted int
	trackings   []sparkloop.Tracking // all must be confirmed in the end
	figures     figures
}

func newWorld(t *testing.T, e Engine, f form) *world {
	t.Helper()
	return &world{t: t, engine: e, form: f, figures: figures{engine: e.Name}}
}

// begin calls prepare and open.
func (w *world) begin(database string, l limit, moved bool) {
	w.t.Helper()
	w.prepare(database, l, moved)
	w.open()
}

// prepare starts the API. A limit with 0 requests means no limit, for the API and
// the processes. A moved clock is not the database's own.
func (w *world) prepare(database string, l limit, moved bool) {
	w.t.Helper()
	w.api = newAPI(w.t, sparklooptest.WithRateLimit(l.requests, l.window))
	w.settings = config{
		Database: database, BaseURL: w.api.url, Key: sparklooptest.APIKey,
		Requests: l.requests, Window: l.window, Moved: moved,
	}
	w.began = time.Now()
}

// open opens the shop.
func (w *world) open() {
	w.t.Helper()
	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(w.api.url))
	require.NoError(w.t, err)
	o := w.settings.options(&w.ahead)
	o.Workers, o.Logger = -1, slog.New(slog.DiscardHandler)
	w.shop, err = w.engine.Open(w.t.Context(), w.settings.Database, client, o)
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(w.t, w.shop.Close(ctx))
	})
}

// click adds the clicks of n readers.
func (w *world) click(n int) {
	for range n {
		_, t := w.api.Click("", "https://shop.example/")
		w.trackings = append(w.trackings, t)
	}
}

// start starts n processes.
func (w *world) start(n int) {
	w.t.Helper()
	for range n {
		w.processes = append(w.processes, launch(w.t, w.settings, nil))
	}
	for _, p := range w.processes {
		p.await()
	}
	w.figures.processes = n
}

// kill kills a process and starts another in its place.
func (w *world) kill(i int) {
	w.t.Helper()
	w.processes[i].kill()
	w.figures.kills++
	w.interrupted += workers
	w.processes[i] = start(w.t, w.settings, nil)
}

// pass lets time pass, for the queues and for SparkLoop.
func (w *world) pass(d time.Duration) {
	w.api.Advance(d)
	w.ahead.Add(int64(d))
	w.settings.Ahead = time.Duration(w.ahead.Load())
	w.interrupted += workers * len(w.processes)
	for _, p := range w.processes {
		p.tell(tellAhead, w.settings.Ahead.String())
	}
}

// wait waits for a random time between d/2 and 3d/2.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	select {
	case <-time.After(d/2 + rand.N(d)):
	case <-w.t.Context().Done():
		require.FailNow(w.t, "The test was ended")
	}
}

// enqueue enqueues the clicks in the shop, spread over a time, and repeats failed
// calls. The returned function waits for the end.
func (w *world) enqueue(over time.Duration) (wait func() calls) {
	done := make(chan calls, 1)
	go func() {
		var e calls
		defer func() { done <- e }()
		pace := time.NewTicker(cmp.Or(over/time.Duration(len(w.trackings)), 1))
		defer pace.Stop()
		for _, t := range w.trackings {
			for !e.add(func() error { return w.shop.Enqueue(w.t.Context(), t) }) {
				select {
				case <-time.After(50 * time.Millisecond):
				case <-w.t.Context().Done():
					return
				}
			}
			<-pace.C
		}
	}()
	return func() calls {
		w.figures.enqueue = <-done
		return w.figures.enqueue
	}
}

// calls are the figures of the shop's calls of Enqueue.
type calls struct {
	refused int
	slowest time.Duration
}

// add makes a call, notes its result, and returns true if it succeeds.
func (e *calls) add(call func() error) bool {
	began := time.Now()
	err := call()
	e.slowest = max(e.slowest, time.Since(began))
	if err != nil {
		e.refused++
	}
	return err == nil
}

// stats returns the queue's figures.
func (w *world) stats() outbox.Stats {
	w.t.Helper()
	s, err := w.shop.Stats(w.t.Context())
	require.NoError(w.t, err)
	return s
}

// settled waits until the queue has nothing to do.
func (w *world) settled() {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) {
		s, err := w.shop.Stats(w.t.Context())
		require.NoError(c, err)
		assert.Zero(c, s.Pending, "%+v", s)
	}, w.form.patience, 50*time.Millisecond)
	w.figures.took = time.Since(w.began)
}

// count compares the clicks with the API and the queue, and sets the figures.
func (w *world) count() {
	w.t.Helper()
	f := &w.figures
	f.enqueued, f.seen, f.twice = len(w.trackings), w.api.seen(), w.api.twice()
	for _, t := range w.trackings {
		if w.api.Confirmed(t) {
			f.confirmed++
		} else {
			f.lost++
		}
	}
	assert.Zero(w.t, f.lost, "lost")
	assert.Equal(w.t, f.enqueued, f.confirmed)
	assert.Zero(w.t, f.twice, "confirmed twice")
	assert.Zero(w.t, f.seen.limited, "429s")
	assert.LessOrEqual(w.t, f.seen.repeated, f.seen.lost+w.interrupted, "sent again without a reason")

	s := w.stats()
	assert.Equal(w.t, f.enqueued, s.Confirmed)
	assert.Zero(w.t, s.Pending+s.Dead+s.Expired, "%+v", s)
}
