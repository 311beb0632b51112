package conformance

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// process is a process with an open queue.
type process struct {
	Queue

	w    *world
	line *line
	log  *journal

	mu        sync.Mutex
	crashed   bool
	confirmed []outbox.Entry // from OnConfirmed
	died      []outbox.Entry // from OnDead
	paused    []error        // from OnPaused
}

// open starts a process. By default it retries within milliseconds. It is closed
// at the end of the story.
func (w *world) open(o outbox.Options, options ...sparkloop.Option) *process {
	w.t.Helper()
	p, err := w.tryOpen(o, options...)
	require.NoError(w.t, err)
	return p
}

func (w *world) tryOpen(o outbox.Options, options ...sparkloop.Option) (*process, error) {
	p := &process{w: w, log: &journal{}}
	p.line = &line{wire: w.wire, from: p}
	if o.RetryMin == 0 && o.RetryMax == 0 {
		o.RetryMin, o.RetryMax = 10*time.Millisecond, 50*time.Millisecond
	}
	o.Now = w.now
	o.Logger = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.listen(&o)
	c := w.api.Client(append([]sparkloop.Option{sparkloop.WithHTTPClient(&http.Client{Transport: p.line})}, options...)...)

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel() // delivery must continue
	q, err := w.db.Open(ctx, c, o)
	if err != nil {
		return nil, err
	}
	p.Queue = q
	w.processes = append(w.processes, p)
	return p, nil
}

// end closes all open queues at the same time.
func (w *world) end() {
	var ending sync.WaitGroup
	for _, p := range w.processes {
		ending.Go(p.end)
	}
	ending.Wait()
}

// end closes the queue. It gives a dead process its database back, so that Close
// returns sooner.
func (p *process) end() {
	if p.dead() {
		p.w.db.Mend(p.Queue)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	assert.NoError(p.w.t, p.Close(ctx))
	if p.w.t.Failed() {
		const most = 4000
		log := p.log.String()
		p.w.t.Logf("a process's log, the end of it:\n%s", log[max(0, len(log)-most):])
	}
}

// close ends the process in good order.
func (p *process) close() {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(p.w.t, p.Close(ctx))
}

// crash simulates kill -9: the process no longer reaches the database and
// SparkLoop.
func (p *process) crash() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.crashed {
		p.crashed = true
		p.line.set(func(l *line) { l.cut = true })
		p.w.db.Cut(p.Queue)
	}
}

func (p *process) enqueue(ts ...sparkloop.Tracking) {
	p.w.t.Helper()
	for _, t := range ts {
		require.NoError(p.w.t, p.Enqueue(p.w.ctx(), t))
	}
}

func (p *process) enqueueTx(t sparkloop.Tracking, commit bool) error {
	return p.w.db.EnqueueTx(p.w.ctx(), p.Queue, t, commit)
}

// find looks up a conversion, which must exist.
func (p *process) find(t sparkloop.Tracking) outbox.Entry {
	p.w.t.Helper()
	e, ok, err := p.Lookup(p.w.ctx(), t)
	require.NoError(p.w.t, err)
	require.True(p.w.t, ok, "%s is not in the queue", t.Key())
	return e
}

// absent asserts that a conversion is not in the queue.
func (p *process) absent(t sparkloop.Tracking) {
	p.w.t.Helper()
	_, ok, err := p.Lookup(p.w.ctx(), t)
	require.NoError(p.w.t, err)
	assert.False(p.w.t, ok, "%s is in the queue", t.Key())
}

// until waits until a conversion is in a state and met returns true.
func (p *process) until(t sparkloop.Tracking, s outbox.State, met func(outbox.Entry) bool) outbox.Entry {
	p.w.t.Helper()
	var e outbox.Entry
	p.w.until(t.Key()+" is "+string(s), func() bool {
		var ok bool
		var err error
		e, ok, err = p.Lookup(p.w.ctx(), t)
		return err == nil && ok && e.State == s && (met == nil || met(e))
	})
	return e
}

// become waits for a conversion to be in a state.
func (p *process) become(t sparkloop.Tracking, s outbox.State) outbox.Entry {
	p.w.t.Helper()
	return p.until(t, s, nil)
}

// settle delivers one more conversion. A queue that delivers too much has had the
// time to do so.
func (p *process) settle() {
	p.w.t.Helper()
	t := p.w.click()
	p.enqueue(t)
	p.become(t, outbox.Confirmed)
}

func (p *process) stats() outbox.Stats {
	p.w.t.Helper()
	s, err := p.Stats(p.w.ctx())
	require.NoError(p.w.t, err)
	return s
}

// list collects what List yields.
func (p *process) list(s outbox.State) []outbox.Entry {
	p.w.t.Helper()
	var all []outbox.Entry
	for e, err := range p.List(p.w.ctx(), s) {
		require.NoError(p.w.t, err)
		all = append(all, e)
	}
	return all
}

// delivered waits until n conversions are confirmed, and asserts that none died.
func (p *process) delivered(n int) {
	p.w.t.Helper()
	p.deliveredIn(0, n)
}

// deliveredIn is delivered while time passes.
func (p *process) deliveredIn(step time.Duration, n int) {
	p.w.t.Helper()
	p.w.passUntil(step, "all are confirmed", func() bool {
		s, err := p.Stats(p.w.ctx())
		return err == nil && s.Confirmed >= n
	})
	s := p.stats()
	assert.Equal(p.w.t, n, s.Confirmed)
	assert.Zero(p.w.t, s.Pending)
	assert.Zero(p.w.t, s.Dead+s.Expired)
}
