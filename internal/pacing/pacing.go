// Package pacing keeps requests under a limit of so many in a rolling window.
package pacing

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Log is a sliding log: it remembers when each of the last n requests went
// and lets the next one go when the oldest of them has left the window. It is
// safe for concurrent use and sleeps with no lock held.
type Log struct {
	span  time.Duration
	start time.Time

	mu sync.Mutex
	// All times are nanoseconds since start, on the monotonic clock.
	sent   []int64 // a ring: when each of the last n went or will go
	oldest int     // its index in sent
	paused int64   // nobody goes before this
	given  []int64 // slots still to come that their owners gave up, sorted
}

// New returns a Log that lets n requests go in any window. The server counts
// arrivals, not departures, so the log spaces them over a slightly longer
// span: a second more, or a quarter of a window shorter than four seconds.
// Requests that take up to that much longer on the way than others never add
// up to more than n in a window there.
func New(n int, window time.Duration) *Log {
	span := window + min(time.Second, window/4)
	l := &Log{span: span, start: time.Now(), sent: make([]int64, n)}
	for i := range l.sent {
		l.sent[i] = -int64(span) // the first n go at once
	}
	return l
}

// Wait returns nil when one request may go. A context that would end before
// that gets an error at once, which matches [context.DeadlineExceeded] and
// takes no slot from the others.
func (l *Log) Wait(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		slot, wait, err := l.reserve(ctx)
		if wait <= 0 || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			l.giveBack(slot)
			return ctx.Err()
		case <-timer.C:
		}
		if !l.pausedNow() {
			return nil
		}
		// A pause came in the meantime: queue again behind it.
	}
}

// Pause lets nobody go for d from now; a shorter pause never ends a longer one.
func (l *Log) Pause(_ context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = max(l.paused, l.now()+int64(d))
	return nil
}

// reserve takes the next slot and returns it with the time until then.
func (l *Log) reserve(ctx context.Context) (slot int64, wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for len(l.given) > 0 && l.given[0] < max(now, l.paused) {
		l.given = l.given[1:] // nobody wanted it in time
	}
	reuse := len(l.given) > 0
	if reuse {
		slot = l.given[0]
	} else {
		slot = max(now, l.paused, l.sent[l.oldest]+int64(l.span))
	}
	wait = time.Duration(slot - now)
	if wait > 0 {
		if deadline, ok := ctx.Deadline(); ok && l.start.Add(time.Duration(slot)).After(deadline) {
			return 0, 0, fmt.Errorf("the next one is in %s: %w",
				wait.Round(time.Millisecond), context.DeadlineExceeded)
		}
	}
	if reuse {
		l.given = l.given[1:]
		return slot, wait, nil
	}
	l.sent[l.oldest] = slot
	if l.oldest++; l.oldest == len(l.sent) {
		l.oldest = 0
	}
	return slot, wait, nil
}

// giveBack leaves a slot that is still to come to the next caller.
func (l *Log) giveBack(slot int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slot > l.now() {
		i, _ := slices.BinarySearch(l.given, slot)
		l.given = slices.Insert(l.given, i, slot)
	}
}

func (l *Log) pausedNow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now() < l.paused
}

func (l *Log) now() int64 { return int64(time.Since(l.start)) }
