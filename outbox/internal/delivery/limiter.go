package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// limiter is one rate limit for all processes on a database. The shared state
// holds the next free slot. Slots lie evenly, a window and its tolerance apart
// for each n, so that no window holds more than n as SparkLoop counts, a crash or
// a restart in between or not. See internal/pacing for the tolerance.
type limiter struct {
	row   SharedState
	every time.Duration // between two slots
	late  time.Duration // by which a slot may be used late
	clock clock

	turn chan struct{} // held by the delivery of this process that is next to reserve
}

const (
	// holdMax is the longest that a 429 holds everybody.
	holdMax = time.Minute
	// near is how far ahead a delivery reserves a slot. A slot that lies further
	// ahead stays free for whoever waits when it is near, so that the order of
	// delivery is decided late and a process that ends loses no slot of others.
	near = 2 * time.Second
	// slotMax is how long a delivery waits for a slot before it is given back.
	slotMax = 10 * time.Second
)

func newLimiter(row SharedState, requests int, window time.Duration) *limiter {
	tolerance := min(time.Second, window/4)
	return &limiter{
		row:   row,
		every: (window + tolerance) / time.Duration(requests),
		late:  tolerance / 2,
		turn:  make(chan struct{}, 1),
	}
}

// Wait reserves a slot and returns at the slot's time. The first request of a
// delivery has its slot already, unless the call has waited for something else
// meanwhile. The wait for a further one does not count as time of the call.
func (l *limiter) Wait(ctx context.Context) error {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		if slot := c.take(); slot.slot != 0 && !slot.over(l.late) {
			return nil
		}
		return c.wait(func() error { return l.direct(ctx) })
	}
	return l.direct(ctx)
}

// direct reserves the next slot, however far ahead, unless it lies beyond the
// context's deadline.
func (l *limiter) direct(ctx context.Context) error {
	for {
		most := time.Duration(1<<63 - 1)
		if deadline, bounded := ctx.Deadline(); bounded {
			most = time.Until(deadline)
		}
		r, err := l.reserve(ctx, most)
		if err != nil {
			return err
		}
		if r.wait > most {
			return fmt.Errorf("the next one is in %s: %w", r.wait.Round(time.Millisecond), context.DeadlineExceeded)
		}
		if _, used, err := l.await(ctx, r); used || err != nil {
			return err
		}
	}
}

// take waits for a slot for one delivery, for about slotMax, and returns the
// shared state at the slot's time. If there is no slot by then, it returns how far
// ahead the next one lies.
func (l *limiter) take(ctx context.Context) (s state, r reserved, later time.Duration, err error) {
	give := time.NewTimer(slotMax)
	defer give.Stop()
	began := time.Now()
	select {
	case l.turn <- struct{}{}:
	case <-give.C:
		return s, r, near, nil
	case <-ctx.Done():
		return s, r, 0, ctx.Err()
	}
	held := true
	release := func() {
		if held {
			<-l.turn
			held = false
		}
	}
	defer release()
	for {
		r, err = l.reserve(ctx, near)
		switch {
		case err != nil:
			return s, r, 0, err
		case r.wait <= near:
			release() // the next one may reserve meanwhile
			s, used, err := l.await(ctx, r)
			if used || err != nil {
				return s, r, 0, err
			}
			if time.Since(began) >= slotMax {
				return s, r, near, nil
			}
			select {
			case l.turn <- struct{}{}:
				held = true
			case <-ctx.Done():
				return s, r, 0, ctx.Err()
			}
			continue
		}
		left := slotMax - time.Since(began)
		if left <= 0 {
			return s, r, r.wait - near, nil
		}
		if err := sleep(ctx, min(r.wait-near, left)); err != nil {
			return s, r, 0, err
		}
	}
}

// reserved is a slot that is taken.
type reserved struct {
	slot int64         // in microseconds on the common clock
	wait time.Duration // how far ahead it lay
	at   time.Time     // then, on this process's clock
}

// over reports whether it is too late to use the slot: others count on its time.
func (r reserved) over(late time.Duration) bool { return time.Since(r.at) > r.wait+late }

// await returns at a reserved slot's time. used is false if the slot may not be
// used any more.
func (l *limiter) await(ctx context.Context, r reserved) (s state, used bool, err error) {
	if err := sleep(ctx, r.wait-time.Since(r.at)); err != nil {
		l.giveBack(ctx, r.slot)
		return s, false, err
	}
	s, _, now, err := load(ctx, l.row)
	if err != nil {
		return s, false, err
	}
	if r.over(l.late) {
		return s, false, nil // the process was suspended
	}
	held := s.Hold > now.UnixMicro() && s.Hold <= now.Add(holdMax+time.Second).UnixMicro() && !setAhead(&s, now)
	return s, !held, nil // held: a 429 has come meanwhile
}

// reserve takes the next free slot if it is at most that far ahead.
func (l *limiter) reserve(ctx context.Context, most time.Duration) (r reserved, err error) {
	err = l.update(ctx, func(s *state, now time.Time) bool {
		r.at, r.slot = time.Now(), l.next(s, now)
		r.wait = time.Duration(r.slot-now.UnixMicro()) * time.Microsecond
		s.Next, s.Set = r.slot+l.every.Microseconds(), now.UnixMicro()
		return r.wait <= most
	})
	return r, err
}

// update changes the shared state and notes what the clock showed.
func (l *limiter) update(ctx context.Context, change func(s *state, now time.Time) bool) error {
	var at time.Time
	changed := false
	err := update(ctx, l.row, func(s *state, now time.Time) bool {
		at, changed = now, change(s, now)
		return changed
	})
	if err == nil && changed {
		l.clock.look(at)
	}
	return err
}

// ahead returns how far ahead the next free slot lies.
func (l *limiter) ahead(s state, now time.Time) time.Duration {
	return time.Duration(l.next(&s, now)-now.UnixMicro()) * time.Microsecond
}

// next returns the next free slot, and has the state say so by the clock as it
// is now: slots that others wait for still lie ahead after the clock was set.
func (l *limiter) next(s *state, now time.Time) int64 {
	at, jumped := now.UnixMicro(), l.clock.jumped(now)
	switch {
	case setAhead(s, now) && jumped > -setBack: // the clock was set back before this process looked
		ahead := s.Next - s.Set
		if s.Hold > s.Set {
			ahead = 0 // the hold may be over
		}
		s.Next, s.Hold = at+max(ahead, l.every.Microseconds()), 0
	case setAhead(s, now), jumped > setBack && s.Set <= now.Add(setBack-jumped).UnixMicro():
		s.Next += jumped.Microseconds()
		s.Hold += jumped.Microseconds()
	}
	return max(at, s.Next)
}

// setAhead reports whether the slots were set by a clock that was ahead.
func setAhead(s *state, now time.Time) bool { return s.Set > now.Add(setBack).UnixMicro() }

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
	err := l.update(ctx, func(s *state, now time.Time) bool {
		until := now.Add(min(d, holdMax)).UnixMicro()
		l.next(s, now)
		if until <= s.Hold && s.Hold <= now.Add(holdMax).UnixMicro() {
			return false
		}
		s.Next = max(s.Next, until) // slots that are taken stay so
		s.Hold, s.Set = until, now.UnixMicro()
		return true
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("pause after a 429: %w", err)
	}
	return err
}

// sleep returns after d, or with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
