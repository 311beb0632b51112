package conformance

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// sharing tests several workers and several processes.
func sharing() []story {
	return []story{
		{"ProcessesShareTheWork", processesShare},
		{"WorkersAreTheMostAtATime", workersAreTheMost},
		{"OneOfManyLeaves", oneLeaves},
		{"HungCallHoldsUpNobody", hungCall},
	}
}

func processesShare(w *world) {
	ps := []*process{w.open(outbox.Options{}), w.open(outbox.Options{}), w.open(outbox.Options{Workers: 2})}
	const all = 120
	ts := w.clicks(all)
	var work sync.WaitGroup
	for i, p := range ps {
		work.Go(func() {
			for j := i; j < all; j += len(ps) {
				assert.NoError(w.t, p.Enqueue(w.ctx(), ts[j]))
			}
		})
	}
	work.Wait()
	ps[0].delivered(all)
	for _, t := range ts {
		assert.Equal(w.t, 1, w.wire.count(t), "each is sent by one process")
	}
	w.until("the hooks run", func() bool {
		told := 0
		for _, p := range ps {
			confirmed, _, _ := p.told()
			told += len(confirmed)
		}
		return told == all
	})
}

func workersAreTheMost(w *world) {
	p := w.open(outbox.Options{Workers: 3})
	p.settle() // the first call of a client is alone: it finds the endpoint
	answer := make(chan struct{})
	underWay := p.stall(answer)
	p.enqueue(w.clicks(10)...)
	for range 3 {
		<-underWay
	}
	select {
	case <-underWay:
		assert.Fail(w.t, "a fourth delivery is in progress")
	case <-time.After(300 * time.Millisecond):
	}
	close(answer)
	p.delivered(11)
}

// oneLeaves is a deployment. Processes end while there is work, and their
// conversions are free at once.
func oneLeaves(w *world) {
	ts := w.clicks(100)
	for i := range 10 {
		p := w.open(outbox.Options{})
		p.slowly()
		p.enqueue(ts[10*i : 10*i+10]...)
		n := w.wire.count()
		w.until("it has sent something", func() bool { return w.wire.count() > n })
		p.close()
	}
	began := time.Now()
	w.open(outbox.Options{}).delivered(len(ts))
	assert.Less(w.t, time.Since(began), 10*time.Second)
	for _, t := range ts {
		assert.Equal(w.t, 1, w.wire.count(t))
	}
}

func hungCall(w *world) {
	p := w.open(outbox.Options{})
	p.settle() // the first call of a client is alone: it finds the endpoint
	hung := w.click()
	arrived := make(chan struct{}, 1)
	p.line.set(func(l *line) {
		l.before = func(r *http.Request) error {
			if conversionOf(r.URL.Path) != hung.Key() {
				return nil
			}
			arrived <- struct{}{}
			<-r.Context().Done()
			return r.Context().Err()
		}
	})
	p.enqueue(hung)
	<-arrived
	ts := w.clicks(10)
	p.enqueue(ts...)
	for _, t := range ts {
		p.become(t, outbox.Confirmed)
	}
	p.line.set(func(l *line) { l.before = nil })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	p.Close(ctx) //nolint:errcheck // it breaks the call off
	w.open(outbox.Options{}).become(hung, outbox.Confirmed)
}
