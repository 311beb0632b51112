package delivery

import (
	"sync"
	"time"
)

// setBack is the difference from the expected time from which a clock counts as
// set.
const setBack = 5 * time.Second

// clock follows the clock that all processes of a queue share. Between two readings
// it adds the time that passed in this process: the wall clock of the process may
// be wrong. It is safe for concurrent use.
type clock struct {
	mu     sync.Mutex
	shared time.Time // at the last reading
	seen   time.Time // the process's time at the last reading; only differences count
}

// look notes a reading of the shared clock.
func (c *clock) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shared, c.seen = now.Round(0), time.Now()
}

// jumped returns by how much the shared clock was set since the last reading.
func (c *clock) jumped(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.IsZero() {
		return 0
	}
	return now.Round(0).Sub(c.shared.Add(time.Since(c.seen)))
}

// now returns the time on the shared clock. Before the first reading it is this
// process's time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.IsZero() {
		return time.Now()
	}
	return c.shared.Add(time.Since(c.seen))
}
