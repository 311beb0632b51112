package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// limiter is one rate limit for all processes on a database. The shared state
// holds the next free slot. Slots are spread evenly: n of them in a window plus its
// tolerance. So SparkLoop never counts more than n in a window, after a crash or
// a restart too. See internal/pacing for the tolerance.
type limiter struct {
	row   SharedState
	every time.Duration // between two slots
	late  time.Duration // how late a slot may be used
	clock clock

	turn chan struct{} // held by the delivery of this process that reserves next
}

const (
	// holdMax bounds how long a 429 holds all processes.
	holdMax = time.Minute
	// near is how far ahead a delivery reserves a slot. Later slots stay free: the
	// order of delivery is decided late, and a process that ends wastes few slots.
	near = 2 * time.Second
	// slotMax is how long a delivery waits for a slot. Then the conversion is given
	// back.
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
// delivery already has its slot, and reserves a new one only if it is too late
// for that. The wait for a further slot does not count as time of the call.
func (l *limiter) Wait(ctx context.Context) error {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		if slot := c.take(); slot.slot != 0 && !slot.over(l.late) {
			return nil
		}
		return c.wait(func() error { return l.direct(ctx) })
	}
	return l.direct(ctx)
}

// direct reserves the next slot, at any distance. It returns an error if the slot
// is after the context's deadline.
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
// shared state at the slot's time. Without a slot, later is how long to wait before
// the next try.
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
			release() // the next delivery may reserve meanwhile
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
		// A random part spreads the processes: only one of them gets the slot.
		if err := sleep(ctx, min(r.wait-near+rand.N(near/4), left)); err != nil {
			return s, r, 0, err
		}
	}
}

// reserved is a reserved slot.
type reserved struct {
	slot int64         // in microseconds on the common clock
	wait time.Duration // from the reservation to the slot
	at   time.Time     // of the reservation, on this process's clock
}

// over reports whether it is too late to use the slot: the next slots follow it.
func (r reserved) over(late time.Duration) bool { return time.Since(r.at) > r.wait+late }

// await returns at a reserved slot's time. used is false if the slot may no longer
// be used.
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
	return s, !held, nil // held: a 429 came meanwhile
}

// reserve takes the next free slot if it is at most that far ahead. r has the slot
// in both cases.
func (l *limiter) reserve(ctx context.Context, most time.Duration) (r reserved, err error) {
	err = l.update(ctx, func(s *state, now time.Time) bool {
		r.at, r.slot = time.Now(), l.next(s, now)
		r.wait = time.Duration(r.slot-now.UnixMicro()) * time.Microsecond
		s.Next, s.Set = r.slot+l.every.Microseconds(), now.UnixMicro()
		return r.wait <= most
	})
	return r, err
}

// update changes the shared state and notes the time of the common clock.
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

// next returns the next free slot. If the clock was set meanwhile, it moves the
// state's times along: reserved slots stay as far ahead as they were.
func (l *limiter) next(s *state, now time.Time) int64 {
	at, jumped := now.UnixMicro(), l.clock.jumped(now)
	switch {
	case setAhead(s, now) && jumped > -setBack: // the clock was set back before this process read it
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

// setAhead reports whether a clock that was ahead set the slots.
func setAhead(s *state, now time.Time) bool { return s.Set > now.Add(setBack).UnixMicro() }

// giveBack frees an unused slot if it is still the last reserved one.
func (l *limiter) giveBack(ctx context.Context, slot int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = update(ctx, l.row, func(s *state, _ time.Time) bool { // an error costs only the slot
		if s.Next != slot+l.every.Microseconds() {
			return false
		}
		s.Next = slot
		return true
	})
}

// Pause holds all processes for d, at most a minute. It also does so if ctx, of
// the call that got the 429, has ended.
func (l *limiter) Pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := l.update(ctx, func(s *state, now time.Time) bool {
		until := now.Add(min(d, holdMax)).UnixMicro()
		l.next(s, now)
		if until <= s.Hold && s.Hold <= now.Add(holdMax).UnixMicro() {
			return false
		}
		s.Next = max(s.Next, until) // reserved slots stay reserved
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
