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

// process is one that has the queue open.
type process struct {
	Queue

	w    *world
	line *line
	log  *journal

	mu        sync.Mutex
	crashed   bool
	confirmed []outbox.Entry // of which OnConfirmed told
	died      []outbox.Entry // of which OnDead told
	paused    []error        // of which OnPaused told
}

// open starts a process. It tries again within milliseconds, unless o says
// otherwise. It is closed when the story ends.
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
	defer cancel() // and delivery must go on
	q, err := w.db.Open(ctx, c, o)
	if err != nil {
		return nil, err
	}
	p.Queue = q
	w.processes = append(w.processes, p)
	return p, nil
}

// end closes the queues that the story left open, all at the same time.
func (w *world) end() {
	var ending sync.WaitGroup
	for _, p := range w.processes {
		ending.Go(p.end)
	}
	ending.Wait()
}

// end closes the queue. A dead process gets its database back, to end sooner.
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

// crash ends the process as kill -9 does: from now on it reaches neither the
// database nor SparkLoop.
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

// find looks a conversion up that must be there.
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

// until waits for a conversion to be in a state, and to be as it is met.
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

// settle sees one more conversion through, so that the queue has had time to
// deliver what it should not.
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

// delivered waits until so many conversions are confirmed, and asserts that
// nothing died.
func (p *process) delivered(n int) {
	p.w.t.Helper()
	p.deliveredIn(0, n)
}

// deliveredIn is delivered, with time passing.
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
