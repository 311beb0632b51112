// Package conformance tests the behaviour of an outbox, in stories. Both engines run
// all of them.
package conformance

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Database is a fresh database of an engine. Each queue from Open stands for a
// separate process, with its own connections.
type Database interface {
	// Open opens the queue, as a process does at its start.
	Open(ctx context.Context, c *sparkloop.Client, o outbox.Options) (Queue, error)

	// EnqueueTx adds an order and the conversion in one transaction, and commits or
	// rolls it back. It does so even if the conversion is rejected, and returns that
	// error.
	EnqueueTx(ctx context.Context, q Queue, t sparkloop.Tracking, commit bool) error

	// Orders counts the committed orders.
	Orders(ctx context.Context) (int, error)

	// Replace replaces a conversion by another with the same ID.
	Replace(ctx context.Context, t, by sparkloop.Tracking) error

	// Cut disconnects a process from the database at any moment. Mend reconnects it.
	Cut(q Queue)
	Mend(q Queue)

	// Faults are the ways in which a reachable database can reject all writes.
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

// story is one test of the suite.
type story struct {
	name string
	tell func(w *world)
}

// atATime is how many stories run at the same time. They mostly wait, so it is more
// than go test would run on a small machine.
const atATime = 5

// Run runs all stories, each in its own database.
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
