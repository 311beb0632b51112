package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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
	// underWay is longer than an engine's claim on a conversion holds: what is
	// due within that time is left alone when a clock has been set back.
	underWay = 30 * time.Second
)

// Engine is what an engine does for Background.
type Engine interface {
	// Missing returns those of ts that are not in the queue, in any state.
	Missing(ctx context.Context, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error)
	// Sweep enqueues ts, marked as swept, and returns how many were new.
	Sweep(ctx context.Context, ts []sparkloop.Tracking) (int, error)
	// Tidy deletes conversions confirmed before that time, and makes those due
	// that are due only after the horizon: a clock was wrong.
	Tidy(ctx context.Context, confirmedBefore, horizon time.Time) error
}

// Background sweeps the source and has the engine tidy up, until ctx ends.
func (p *Policy) Background(ctx context.Context, engine Engine) {
	var tidied, swept, failed time.Time
	var again bool // soon: what was under way when the clock was set may be written since
	lately, steady := p.o.Now(), time.Now()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		now := p.o.Now()
		back := time.Since(steady)-now.Round(0).Sub(lately.Round(0)) > setBack
		lately, steady = now, time.Now()
		if back || away(now, tidied) >= tidyEvery {
			tidied = now
			horizon := now.Add(p.o.RetryMax + time.Minute)
			if back || again {
				horizon = now.Add(underWay)
			}
			err := engine.Tidy(ctx, now.Add(-p.o.Keep), horizon)
			if again = back || again && err != nil; err != nil && ctx.Err() == nil {
				p.o.Logger.WarnContext(ctx, "sparkloop outbox: could not tidy up", slog.Any("error", err))
			}
		}
		if p.o.Source != nil && away(now, swept) >= p.o.SourceEvery && away(now, failed) >= tidyEvery {
			if err := p.sweep(ctx, engine, swept.IsZero()); err == nil {
				swept = now
			} else if failed = now; ctx.Err() == nil {
				p.o.Logger.WarnContext(ctx, "sparkloop outbox: could not sweep the source", slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// away is how far apart two times are: a clock that was set back must not stop
// what is done every so often.
func away(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// sweep enqueues what the source knows and the queue does not. The first sweep
// of a process goes over everything: the last one may have asked a source that
// was wrong, or have been told by a file that was lost. Those after it are shared
// between the processes.
func (p *Policy) sweep(ctx context.Context, engine Engine, first bool) error {
	began := p.o.Now()
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
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the source panicked: %v", v)
		}
	}()
	ts, err = p.o.Source(ctx, since.UTC())
	if err != nil {
		return nil, err
	}
	invalid := 0
	seen := make(map[string]bool, len(ts))
	ts = slices.DeleteFunc(slices.Clone(ts), func(t sparkloop.Tracking) bool {
		if err := t.Validate(); err != nil {
			if !t.IsZero() {
				invalid++
			}
			return true
		}
		known := seen[t.Key()]
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
	swept := 0
	for some := range slices.Chunk(missing, batch) {
		n, err := engine.Sweep(ctx, some)
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
