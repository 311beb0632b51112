// Package pacing limits the requests in a rolling window.
package pacing

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Log is a sliding log: it stores the times of the last n requests. The next
// request may be sent when the oldest time has left the window. Waiting calls
// form a line. A Log is safe for concurrent use and holds no lock while it
// sleeps.
type Log struct {
	span  time.Duration
	start time.Time

	mu sync.Mutex
	// All times are nanoseconds since start, on the monotonic clock.
	sent    []int64       // a ring: when each of the last n went
	oldest  int           // its index in sent
	paused  int64         // no request is sent before this time
	line    []uint64      // tickets of the waiting calls, first in line first
	ticket  uint64        // the last issued ticket
	changed chan struct{} // closed when the times of those in line have changed
}

// New returns a Log that allows n requests in any window. The server counts
// arrivals, so the log uses a longer span: one second more, or a quarter of a
// window below four seconds. Up to that difference in latency, no more than n
// requests arrive in a window.
func New(n int, window time.Duration) *Log {
	span := window + min(time.Second, window/4)
	l := &Log{span: span, start: time.Now(), sent: make([]int64, n), changed: make(chan struct{})}
	for i := range l.sent {
		l.sent[i] = -int64(span) // the first n go at once
	}
	return l
}

// Wait returns nil when one request may be sent. If the deadline of the context
// comes before that, Wait returns at once an error that matches
// [context.DeadlineExceeded]. The same holds in line, if a pause moves the turn
// behind the deadline.
func (l *Log) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if now := l.now(); len(l.line) == 0 && l.turn(0, now) == now {
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

// Pause stops all requests for d. A shorter pause never ends a longer one.
func (l *Log) Pause(_ context.Context, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = max(l.paused, l.now()+int64(d))
	l.tell()
	return nil
}

// turn returns the time of a place in line: when the request n departures
// earlier leaves the window. Beyond the first n places, that request is itself
// in line.
func (l *Log) turn(place int, now int64) int64 {
	n := len(l.sent)
	before := l.sent[(l.oldest+place%n)%n]
	return max(now, l.paused, before+int64(l.span)) + int64(place/n)*int64(l.span)
}

// depart records a request that is sent now.
func (l *Log) depart(now int64) {
	l.sent[l.oldest] = now
	if l.oldest++; l.oldest == len(l.sent) {
		l.oldest = 0
	}
}

// leave removes a call from the line; later calls move up.
func (l *Log) leave(place int) {
	l.line = slices.Delete(l.line, place, place+1)
	l.tell()
}

// tell makes all waiting calls compute their turn again.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) now() int64 { return int64(time.Since(l.start)) }
