package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// settle is the time that a handler has to enqueue an order that it has
	// committed.
	settle = time.Second
	// tick is how often Background reads the clock.
	tick = time.Second
	// tidyEvery is the interval of Tidy, and the pause after a failed sweep.
	tidyEvery = time.Minute
	// batch bounds the conversions in one call of an engine.
	batch = 500
	// sourceSlow is when a call of the source that has not returned is logged.
	sourceSlow = time.Minute
)

// Engine is the part of an engine that Background calls.
type Engine interface {
	// Missing returns the trackings that are not in the queue, in any state.
	Missing(ctx context.Context, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error)
	// Sweep enqueues ts into a lane, marked as swept, and returns how many were
	// new.
	Sweep(ctx context.Context, ts []sparkloop.Tracking, lane int) (int, error)
	// Tidy deletes conversions confirmed before that time. It makes conversions due
	// now that are due only after the horizon: a wrong clock has set their time.
	Tidy(ctx context.Context, confirmedBefore, horizon time.Time) error
}

// Background sweeps the source and calls the engine's Tidy, until ctx ends. A
// source that does not return delays nothing else.
func (p *Policy) Background(ctx context.Context, engine Engine) {
	var sweeps sync.WaitGroup
	defer sweeps.Wait()
	c := chores{p: p, engine: engine}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		_, now, err := p.gate.load(ctx)
		if err != nil {
			now = p.Now()
		}
		c.tidy(ctx, now)
		c.sweep(ctx, now, &sweeps)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// chores is the state of Background.
type chores struct {
	p      *Policy
	engine Engine
	clock  clock

	tidied, swept, failed time.Time
	again                 bool // tidy once more: a delivery in progress may store a time of the old clock

	sweeping chan error // nil unless a sweep is in progress
	began    time.Time  // of the sweep
	asked    time.Time  // of the sweep, on this process's clock
	warned   bool       // the slow source is logged
}

func (c *chores) tidy(ctx context.Context, now time.Time) {
	back := c.clock.jumped(now) < -setBack
	c.clock.look(now)
	if !back && away(now, c.tidied) < tidyEvery {
		return
	}
	c.tidied = now
	if set, err := c.setBackBefore(ctx); err == nil {
		back = back || set
	}
	horizon := now.Add(c.p.o.RetryMax + time.Minute)
	if back || c.again {
		horizon = now.Add(c.p.Lease())
	}
	err := c.engine.Tidy(ctx, now.Add(-c.p.o.Keep), horizon)
	if c.again = back || c.again && err != nil; err != nil && ctx.Err() == nil {
		c.p.o.Logger.WarnContext(ctx, "sparkloop outbox: could not tidy up", slog.Any("error", err))
	}
}

// setBackBefore reports whether the clock was set back since a process last noted
// it, which may be before this process started.
func (c *chores) setBackBefore(ctx context.Context) (back bool, err error) {
	return back, c.p.gate.update(ctx, func(s *state, now time.Time) bool {
		back = s.Clock > now.Add(setBack).UnixMilli()
		s.Clock = now.UnixMilli()
		return true
	})
}

func (c *chores) sweep(ctx context.Context, now time.Time, sweeps *sync.WaitGroup) {
	log := c.p.o.Logger
	if c.sweeping != nil {
		select {
		case err := <-c.sweeping:
			if c.sweeping = nil; err == nil {
				c.swept = c.began
			} else if c.failed = c.began; ctx.Err() == nil {
				log.WarnContext(ctx, "sparkloop outbox: could not sweep the source", slog.Any("error", err))
			}
		default:
			if since := time.Since(c.asked); !c.warned && since >= sourceSlow {
				c.warned = true
				log.WarnContext(ctx, "sparkloop outbox: the source has not returned", slog.Duration("after", since.Round(time.Second)))
			}
		}
		return
	}
	if c.p.o.Source == nil || away(now, c.swept) < c.p.o.SourceEvery || away(now, c.failed) < tidyEvery {
		return
	}
	done, first := make(chan error, 1), c.swept.IsZero()
	c.sweeping, c.began, c.asked, c.warned = done, now, time.Now(), false
	sweeps.Go(func() { done <- c.p.sweep(ctx, c.engine, first) })
}

// away returns the distance of two times. It is absolute, so that a clock that was
// set back does not stop regular work.
func away(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// sweep enqueues the conversions of the source that are missing in the queue. The
// first sweep of a process covers the whole reach: an earlier source may have been
// wrong, or the queue's file lost. Later sweeps are shared by all processes.
func (p *Policy) sweep(ctx context.Context, engine Engine, first bool) error {
	began := p.Now()
	since := began.Add(-reach(p.o))
	if !first {
		s, _, _, err := load(ctx, p.row)
		if err != nil {
			return err
		}
		last := time.Unix(s.Swept, 0)
		if away(began, last) < p.o.SourceEvery {
			return nil // another process did it
		}
		if overlap := last.Add(-day); last.Before(began) && overlap.After(since) {
			since = overlap
		}
	}
	ts, err := p.ask(ctx, since)
	if err != nil {
		return err
	}
	n, err := p.bringIn(ctx, engine, ts)
	if n > 0 {
		p.o.Logger.WarnContext(ctx, "sparkloop outbox: the source had conversions that were not enqueued", slog.Int("swept", n))
	}
	if err != nil {
		return err
	}
	return update(ctx, p.row, func(s *state, _ time.Time) bool {
		s.Swept = began.Unix()
		return true
	})
}

// ask calls the source, and drops invalid, zero and repeated trackings.
func (p *Policy) ask(ctx context.Context, since time.Time) (ts []sparkloop.Tracking, err error) {
	type result struct {
		ts  []sparkloop.Tracking
		err error
	}
	results := make(chan result, 1)
	go func() {
		var r result
		if ended := guarded(func() { r.ts, r.err = p.o.Source(ctx, since.UTC()) }); ended != nil {
			r.err = fmt.Errorf("the source %w", ended)
		}
		results <- r
	}()
	select {
	case r := <-results:
		ts, err = r.ts, r.err
	case <-ctx.Done():
		err = ctx.Err() // the source may never return
	}
	if err != nil {
		return nil, err
	}
	invalid := 0
	seen := make(map[string]bool, len(ts))
	ts = slices.DeleteFunc(slices.Clone(ts), func(t sparkloop.Tracking) bool {
		if t.Validate() != nil {
			invalid++
			return true
		}
		known := t.IsZero() || seen[t.Key()]
		seen[t.Key()] = true
		return known
	})
	if invalid > 0 {
		p.o.Logger.WarnContext(ctx, "sparkloop outbox: the source has invalid trackings", slog.Int("invalid", invalid))
	}
	return ts, nil
}

// bringIn enqueues the trackings that are missing now and again after settle.
func (p *Policy) bringIn(ctx context.Context, engine Engine, ts []sparkloop.Tracking) (int, error) {
	missing, err := p.missing(ctx, engine, ts)
	if err != nil || len(missing) == 0 {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settle):
	}
	if missing, err = p.missing(ctx, engine, missing); err != nil {
		return 0, err
	}
	swept, lane := 0, LaneFresh
	if len(missing) > batch { // a backlog, such as a first sweep
		lane = LaneBacklog
	}
	for some := range slices.Chunk(missing, batch) {
		n, err := engine.Sweep(ctx, some, lane)
		if swept += n; err != nil {
			return swept, err
		}
	}
	return swept, nil
}

func (p *Policy) missing(ctx context.Context, engine Engine, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error) {
	var missing []sparkloop.Tracking
	for some := range slices.Chunk(ts, batch) {
		m, err := engine.Missing(ctx, some)
		if err != nil {
			return nil, err
		}
		missing = append(missing, m...)
	}
	return missing, nil
}
