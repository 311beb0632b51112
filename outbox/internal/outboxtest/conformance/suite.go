// Package conformance is what an outbox must do, told in stories. Both engines
// run all of them.
package conformance

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Database is a fresh database of an engine. Each queue that Open returns
// stands for a process of its own, with connections of its own.
type Database interface {
	// Open opens the queue as a process does when it starts.
	Open(ctx context.Context, c *sparkloop.Client, o outbox.Options) (Queue, error)

	// EnqueueTx adds an order and the conversion in one transaction, which is
	// then committed or rolled back. A refused conversion does not stop
	// that; its error is returned.
	EnqueueTx(ctx context.Context, q Queue, t sparkloop.Tracking, commit bool) error

	// Orders counts the orders that were committed.
	Orders(ctx context.Context) (int, error)

	// Replace puts another conversion in the place of one, under its id.
	Replace(ctx context.Context, t, by sparkloop.Tracking) error

	// Cut takes the database away from a process, in the middle of whatever it
	// is doing, and Mend gives it back.
	Cut(q Queue)
	Mend(q Queue)

	// Faults are the ways in which the database can be there and not take
	// anything in.
	Faults() []Fault
}

// Queue is an engine's queue.
type Queue interface {
	outbox.Queue
	Client() *sparkloop.Client
	Delivered() outbox.Delivered
}

// Fault makes each write fail, for all processes, from Begin to End.
type Fault struct {
	Name       string
	Begin, End func(ctx context.Context) error
}

// story is something that happens to a queue, and how it ends.
type story struct {
	name string
	tell func(w *world)
}

// atATime is how many stories are told at the same time. They wait more than
// they work, so it is more than go test would run on a small machine.
const atATime = 10

// Run tells all stories, each in a database of its own.
func Run(t *testing.T, fresh func(t *testing.T) Database) {
	t.Helper()
	var telling sync.WaitGroup
	defer telling.Wait()
	turns := make(chan struct{}, atATime)
	for _, s := range slices.Concat(
		enqueuing(), answering(), expiring(), crashing(), pausing(), outages(), redriving(),
		sweeping(), closing(), limiting(), failing(), clocks(), counting(), hooking(), sharing(), accounts(),
	) {
		turns <- struct{}{}
		telling.Go(func() {
			defer func() { <-turns }()
			t.Run(s.name, func(t *testing.T) {
				w := newWorld(t, fresh(t))
				defer w.end()
				s.tell(w)
			})
		})
	}
}
