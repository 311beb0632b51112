package delivery

import (
	"sync"
	"time"
)

// setBack is by how much a clock may differ from what it should show before it
// counts as set.
const setBack = 5 * time.Second

// clock follows the clock that all processes of a queue share. Between two looks
// it goes by the time that has passed in this process, whose wall clock may be
// wrong. It is safe for concurrent use.
type clock struct {
	mu     sync.Mutex
	shared time.Time // at the last look
	seen   time.Time // this process's time then; only differences of it count
}

// look notes the time on the shared clock.
func (c *clock) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shared, c.seen = now.Round(0), time.Now()
}

// jumped returns by how much the shared clock was set since the last look.
func (c *clock) jumped(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.IsZero() {
		return 0
	}
	return now.Round(0).Sub(c.shared.Add(time.Since(c.seen)))
}

// now returns the time on the shared clock, or this process's before the first
// look.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.IsZero() {
		return time.Now()
	}
	return c.shared.Add(time.Since(c.seen))
}
