package conformance

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// closing tests a process that ends in good order.
func closing() []story {
	return []story{
		{"CloseFinishesWhatIsUnderWay", closeFinishes},
		{"CloseBreaksOffWhatTakesTooLong", closeBreaksOff},
		{"CloseKeepsAnAnswerThatIsThere", closeKeepsAnswer},
		{"CloseSendsNothingAfterwards", closeSendsNothing},
		{"CloseWhilePausedIsQuick", closeWhilePaused},
		{"CloseWhileWaitingForTheLimitIsQuick", closeWhileLimited},
		{"CloseOfAnIdleQueueBreaksNothingOff", closeIdle},
		{"CloseTwiceIsHarmless", closeTwice},
		{"EnqueuedAfterCloseIsDeliveredByTheNext", enqueuedAfterClose},
	}
}

// stall holds a process's requests back until the channel is closed or the call is
// canceled. It announces each request.
func (p *process) stall(until <-chan struct{}) (underWay <-chan string) {
	arrived := make(chan string, 100)
	p.line.set(func(l *line) {
		l.before = func(r *http.Request) error {
			arrived <- conversionOf(r.URL.Path)
			select {
			case <-until:
				return nil
			case <-r.Context().Done():
				return r.Context().Err()
			}
		}
	})
	return arrived
}

func closeFinishes(w *world) {
	p := w.open(outbox.Options{})
	p.settle() // the first call of a client is alone: it finds the endpoint
	answer := make(chan struct{})
	underWay := p.stall(answer)
	ts := w.clicks(3)
	p.enqueue(ts...)
	for range ts {
		<-underWay
	}
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		closed <- p.Close(ctx)
	}()
	select {
	case err := <-closed:
		assert.Fail(w.t, "Close did not wait", "%v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(answer)
	require.NoError(w.t, <-closed)
	for _, t := range ts {
		assert.Equal(w.t, outbox.Confirmed, p.find(t).State)
	}
	confirmed, _, _ := p.told()
	assert.Len(w.t, confirmed, 1+len(ts), "the hooks ran before Close returned")
}

func closeBreaksOff(w *world) {
	p := w.open(outbox.Options{})
	p.settle() // the first call of a client is alone: it finds the endpoint
	underWay := p.stall(nil)
	ts := w.clicks(2)
	p.enqueue(ts...)
	for range ts {
		<-underWay
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	p.Close(ctx) //nolint:errcheck // whether that is an error is the engine's
	assert.Less(w.t, time.Since(began), 5*time.Second)
	for _, t := range ts {
		e := p.find(t)
		assert.Equal(w.t, outbox.Pending, e.State)
		assert.Zero(w.t, e.Attempts, "a canceled delivery is no attempt")
	}
	began = time.Now()
	w.open(outbox.Options{}).delivered(1 + len(ts))
	assert.Less(w.t, time.Since(began), 10*time.Second, "the next process does not wait for the end of a claim")
}

// closeKeepsAnswer cancels a call when its answer has just arrived.
func closeKeepsAnswer(w *world) {
	p := w.open(outbox.Options{})
	p.settle()
	yes, no := w.click(), w.click()
	w.wire.say(yes, http.StatusOK, `{"message":"Conversion tracked successfully"}`)
	w.wire.say(no, http.StatusNotFound, `{"error":"Submission not found"}`)
	answers := make(chan struct{}, 2)
	p.line.set(func(l *line) {
		l.after = func(r *http.Request) {
			answers <- struct{}{}
			<-r.Context().Done()
		}
	})
	p.enqueue(yes, no)
	<-answers
	<-answers
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Close(ctx) //nolint:errcheck // whether that is an error is the engine's
	assert.Equal(w.t, outbox.Confirmed, p.find(yes).State)
	assert.Equal(w.t, outbox.Dead, p.find(no).State)
	p.tells(2, 1)
}

func closeSendsNothing(w *world) {
	p := w.open(outbox.Options{})
	const all = 60
	p.slowly()
	ts := w.clicks(all)
	p.enqueue(ts...)
	p.close()
	n := w.wire.count()
	w.never("something is sent", func() bool { return w.wire.count() > n })
	assert.Equal(w.t, n, p.stats().Confirmed)
	w.open(outbox.Options{}).delivered(all)
	for _, t := range ts {
		assert.Equal(w.t, 1, w.wire.count(t))
	}
}

// quickly asserts that a process closes without a wait.
func (w *world) quickly(p *process) {
	w.t.Helper()
	began := time.Now()
	p.close()
	assert.Less(w.t, time.Since(began), 5*time.Second)
}

func closeWhilePaused(w *world) {
	p := w.open(usual())
	w.pause(p, sparklooptest.Status(503, ""), 3)
	w.quickly(p)
	assert.Equal(w.t, 3, p.stats().Pending)
	assert.NotZero(w.t, p.stats().PausedSince)
}

func closeWhileLimited(w *world) {
	limit := sparkloop.WithRateLimit(1, 10*time.Second)
	p := w.open(outbox.Options{}, limit)
	ts := w.clicks(4)
	p.enqueue(ts...)
	w.until("one is confirmed", func() bool { return p.stats().Confirmed == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	p.Close(ctx) //nolint:errcheck // whether that is an error is the engine's
	assert.Less(w.t, time.Since(began), 5*time.Second)
	assert.Equal(w.t, 3, p.stats().Pending)
	assert.Equal(w.t, 1, w.wire.count())
	for _, e := range p.list(outbox.Pending) {
		assert.Zero(w.t, e.Attempts)
	}
}

func closeIdle(w *world) {
	p := w.open(outbox.Options{})
	p.settle()
	w.until("it is idle", func() bool { return p.stats().Pending == 0 })
	time.Sleep(100 * time.Millisecond) // the worker returns
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.NoError(w.t, p.Close(ctx))
}

func closeTwice(w *world) {
	p := w.open(outbox.Options{})
	p.settle()
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			assert.NoError(w.t, p.Close(ctx))
		})
	}
	work.Wait()
	p.close()
	web := w.open(outbox.Options{Workers: -1})
	web.close()
	web.close()
}

func enqueuedAfterClose(w *world) {
	p := w.open(patient())
	all := w.each(p)
	p.close()
	ts := w.clicks(2)
	p.enqueue(ts[0])
	require.NoError(w.t, p.enqueueTx(ts[1], true))
	require.ErrorIs(w.t, p.Enqueue(w.ctx(), invalid(w)["too long"]), sparkloop.ErrInvalidTracking)
	n, err := p.RedriveAll(w.ctx(), outbox.Dead)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	n, err = p.Redrive(w.ctx(), all[outbox.Expired].ID)
	require.NoError(w.t, err)
	assert.Equal(w.t, 1, n)
	assert.Equal(w.t, 5, p.stats().Pending)
	assert.Len(w.t, p.list(outbox.Pending), 5)
	sent := w.wire.count()
	_, err = p.Client().Conversions.Confirm(w.ctx(), w.click())
	require.NoError(w.t, err)
	assert.Equal(w.t, sent+1, w.wire.count(), "the direct call, and nothing else")

	w.pass(2 * time.Hour)
	w.open(outbox.Options{}).delivered(6)
}
