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
	// settle is how long an order may stand in the source before it is in the
	// queue: its handler has committed it and is about to enqueue.
	settle = time.Second
	// tick is how often Background looks at the clock.
	tick = time.Second
	// tidyEvery is how often an engine tidies up, and a failed sweep is repeated.
	tidyEvery = time.Minute
	// batch is how many conversions an engine is asked for at a time.
	batch = 500
	// sourceSlow is after how long a source that has not returned is logged.
	sourceSlow = time.Minute
)

// Engine is what an engine does for Background.
type Engine interface {
	// Missing returns those of ts that are not in the queue, in any state.
	Missing(ctx context.Context, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error)
	// Sweep enqueues ts into a lane, marked as swept, and returns how many were
	// new.
	Sweep(ctx context.Context, ts []sparkloop.Tracking, lane int) (int, error)
	// Tidy deletes conversions confirmed before that time, and makes those due
	// that are due only after the horizon: a clock was wrong.
	Tidy(ctx context.Context, confirmedBefore, horizon time.Time) error
}

// Background sweeps the source and has the engine tidy up, until ctx ends. A
// source that does not return holds up nothing else.
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

// chores is what Background has done so far.
type chores struct {
	p      *Policy
	engine Engine
	clock  clock

	tidied, swept, failed time.Time
	again                 bool // soon: what was under way when the clock was set may be written since

	sweeping chan error // nil unless a sweep is under way
	began    time.Time  // when it did
	asked    time.Time  // likewise, on this process's clock
	warned   bool       // that it takes long
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

// setBackBefore reports whether the clock was set back since a process noted
// it last: before this one started, perhaps.
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

// away is how far apart two times are: a clock that was set back must not stop
// what is done every so often.
func away(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// sweep enqueues what the source knows and the queue does not. The first sweep
// of a process goes over everything: the last one may have asked a source that
// was wrong, or have been told by a file that was lost. Those after it are shared
// between the processes.
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
		p.o.Logger.WarnContext(ctx, "sparkloop outbox: the source had conversions that nobody enqueued", slog.Int("swept", n))
	}
	if err != nil {
		return err
	}
	return update(ctx, p.row, func(s *state, _ time.Time) bool {
		s.Swept = began.Unix()
		return true
	})
}

// ask asks the source, and drops what is no conversion or comes twice.
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
		err = ctx.Err() // whatever becomes of the source
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

// bringIn enqueues those of ts that are missing, and still are a moment later.
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
