package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// limiter is one rate limit for all processes on a database. A row holds the
// next free slot; slots lie evenly, a window and its tolerance apart for each
// n, so that no window holds more than n as SparkLoop counts, a crash or a restart
// in between or not. See internal/pacing for the tolerance.
type limiter struct {
	row   SharedState
	every time.Duration // between two slots
	late  time.Duration // by which a slot may be used late
	most  time.Duration // by which the row may lie ahead; more is a clock that was wrong

	turn chan struct{} // held by the one who reserves, in this process
}

const (
	// holdMax is the longest that a 429 holds everybody.
	holdMax = time.Minute
	// setBack is how far a clock may go back before that counts.
	setBack = 5 * time.Second
)

func newLimiter(row SharedState, requests int, window time.Duration) *limiter {
	tolerance := min(time.Second, window/4)
	return &limiter{
		row:   row,
		every: (window + tolerance) / time.Duration(requests),
		late:  tolerance / 2,
		most:  holdMax + 10*(window+tolerance),
		turn:  make(chan struct{}, 1),
	}
}

// Wait reserves a slot and returns when its time has come.
func (l *limiter) Wait(ctx context.Context) error {
	for {
		slot, wait, err := l.reserve(ctx)
		if err != nil || wait <= 0 {
			return err
		}
		began := time.Now()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			l.giveBack(ctx, slot)
			return ctx.Err()
		}
		s, _, now, err := load(ctx, l.row)
		if err != nil {
			return err
		}
		if time.Since(began) > wait+l.late {
			continue // the process was suspended, and others have counted on this slot's time
		}
		if s.Hold <= now.UnixMicro() || s.Hold > now.Add(holdMax+time.Second).UnixMicro() || l.wrong(&s, now) {
			return nil
		}
		// A 429 has come meanwhile.
	}
}

// reserve takes the next free slot and returns how long it is until then. One
// that lies beyond the context's deadline is not taken.
func (l *limiter) reserve(ctx context.Context) (slot int64, wait time.Duration, err error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	fits := true
	err = update(ctx, l.row, func(s *state, now time.Time) bool {
		at := now.UnixMicro()
		slot = max(at, s.Next)
		if l.wrong(s, now) {
			slot = at + l.every.Microseconds()
			s.Hold = 0
		}
		wait = time.Duration(slot-at) * time.Microsecond
		deadline, bounded := ctx.Deadline()
		fits = !bounded || time.Until(deadline) >= wait
		s.Next, s.Set = slot+l.every.Microseconds(), at
		return fits
	})
	switch {
	case err != nil:
		return 0, 0, err
	case !fits:
		return 0, 0, fmt.Errorf("the next one is in %s: %w", wait.Round(time.Millisecond), context.DeadlineExceeded)
	}
	return slot, wait, nil
}

// wrong says whether the clock was ahead when the row was written.
func (l *limiter) wrong(s *state, now time.Time) bool {
	return s.Next > now.Add(l.most).UnixMicro() || s.Set > now.Add(setBack).UnixMicro()
}

// giveBack frees a slot that will not be used, if it is still the last one.
func (l *limiter) giveBack(ctx context.Context, slot int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = update(ctx, l.row, func(s *state, _ time.Time) bool { // else the slot is lost, and nothing more
		if s.Next != slot+l.every.Microseconds() {
			return false
		}
		s.Next = slot
		return true
	})
}

// Pause holds everybody for d, at most a minute, whatever becomes of the call
// that got the 429.
func (l *limiter) Pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := update(ctx, l.row, func(s *state, now time.Time) bool {
		until := now.Add(min(d, holdMax)).UnixMicro()
		wrong := l.wrong(s, now)
		if !wrong && until <= s.Hold && s.Hold <= now.Add(holdMax).UnixMicro() {
			return false
		}
		if wrong || s.Next < until { // slots that are taken stay so
			s.Next = until
		}
		s.Hold, s.Set = until, now.UnixMicro()
		return true
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("pause after a 429: %w", err)
	}
	return err
}
