package delivery

import (
	"context"
	"sync"
	"time"
)

// call is the context of one delivery. It ends callMax after its first request
// began, not counting the time in which a further request waits for a slot. A
// plain deadline could end a request with a late slot after SparkLoop has
// confirmed.
type call struct {
	context.Context // the outer bound, waits for slots included
	done            chan struct{}

	mu    sync.Mutex
	err   error
	left  time.Duration
	timer *time.Timer // runs while a request may be in progress
	since time.Time
	slot  reserved // of the first request; may be zero
}

type callKey struct{}

// newCall starts a call. slot is the slot of the first request, or zero.
func newCall(ctx context.Context, most time.Duration, slot reserved) (*call, context.CancelFunc) {
	outer, cancel := context.WithTimeout(ctx, most)
	c := &call{Context: outer, done: make(chan struct{}), left: callMax, slot: slot}
	context.AfterFunc(outer, func() { c.end(outer.Err()) })
	c.start()
	return c, func() {
		c.stop()
		cancel()
	}
}

// take returns the first request's slot, once.
func (c *call) take() (slot reserved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, c.slot = c.slot, slot
	return slot
}

// wait runs f, which waits for a slot. Its time does not count for the call.
func (c *call) wait(f func() error) error {
	c.stop()
	defer c.start()
	return f()
}

func (c *call) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
	c.timer = time.AfterFunc(c.left, func() { c.end(context.DeadlineExceeded) })
}

func (c *call) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.left = max(0, c.left-time.Since(c.since))
}

func (c *call) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// Done implements [context.Context].
func (c *call) Done() <-chan struct{} { return c.done }

// Err implements [context.Context].
func (c *call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements [context.Context].
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}
