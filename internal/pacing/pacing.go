// Package pacing keeps requests under a limit of so many in a rolling window.
package pacing

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Log is a sliding log: it remembers when each of the last n requests went and
// lets the next one go when the oldest of them has left the window. Who has to
// wait does so in line. It is safe for concurrent use and sleeps with no lock
// held.
type Log struct {
	span  time.Duration
	start time.Time

	mu sync.Mutex
	// All times are nanoseconds since start, on the monotonic clock.
	sent    []int64       // a ring: when each of the last n went
	oldest  int           // its index in sent
	paused  int64         // nobody goes before this
	line    []uint64      // the tickets of those who wait, the first in line first
	ticket  uint64        // the last one given out
	changed chan struct{} // closed when the times of those in line have changed
}

// New returns a Log that lets n requests go in any window. The server counts
// arrivals, not departures, so the log spaces them over a slightly longer
// span: a second more, or a quarter of a window shorter than four seconds.
// Requests that take up to that much longer on the way than others never add
// up to more than n in a window there.
func New(n int, window time.Duration) *Log {
	span := window + min(time.Second, window/4)
	l := &Log{span: span, start: time.Now(), sent: make([]int64, n), changed: make(chan struct{})}
	for i := range l.sent {
		l.sent[i] = -int64(span) // the first n go at once
	}
	return l
}

// Wait returns nil when one request may go. A context that would end before
// that gets an error at once, which matches [context.DeadlineExceeded]; so does
// one in line when a pause takes its turn past its deadline.
func (l *Log) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if now := l.now(); len(l.line) == 0 && l.turn(0, now) <= now {
		l.depart(now)
		l.mu.Unlock()
		return nil
	}
	l.ticket++
	ticket := l.ticket
	l.line = append(l.line, ticket)
	for {
		place, _ := slices.BinarySearch(l.line, ticket)
		now := l.now()
		wait := time.Duration(l.turn(place, now) - now)
		if wait <= 0 {
			l.line = slices.Delete(l.line, place, place+1)
			l.depart(now)
			l.mu.Unlock()
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			l.leave(place)
			l.mu.Unlock()
			return fmt.Errorf("the next one is in %s: %w", wait.Round(time.Millisecond), context.DeadlineExceeded)
		}
		changed := l.changed
		l.mu.Unlock()

		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()

		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			place, _ := slices.BinarySearch(l.line, ticket)
			l.leave(place)
			l.mu.Unlock()
			return err
		}
	}
}

// Pause lets nobody go for d from now; a shorter pause never ends a longer one.
func (l *Log) Pause(_ context.Context, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.now() + int64(d); until > l.paused {
		l.paused = until
		l.tell()
	}
	return nil
}

// turn is when whoever has that place in line may go: when the request that is
// n departures before it has left the window. Beyond the first n, that one is in
// line itself.
func (l *Log) turn(place int, now int64) int64 {
	n := len(l.sent)
	before := l.sent[(l.oldest+place%n)%n]
	return max(now, l.paused, before+int64(l.span)) + int64(place/n)*int64(l.span)
}

// depart notes that a request goes now.
func (l *Log) depart(now int64) {
	l.sent[l.oldest] = now
	if l.oldest++; l.oldest == len(l.sent) {
		l.oldest = 0
	}
}

// leave takes somebody out of line who will not go; those behind move up.
func (l *Log) leave(place int) {
	l.line = slices.Delete(l.line, place, place+1)
	if place < len(l.line) {
		l.tell()
	}
}

// tell has everybody in line look again at when their turn is.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) now() int64 { return int64(time.Since(l.start)) }
