package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// callMax bounds one delivery: its waits for slots and the calls.
	callMax = 20 * time.Second
	// probeMax is the longest time between two probes of a paused queue.
	probeMax = 5 * time.Minute
)

// pause is a queue that waits for SparkLoop to come back. Times are unix
// milliseconds on the policy's clock.
type pause struct {
	Class  string `json:"class"` // of the failure
	Reason string `json:"reason"`
	Since  int64  `json:"since"`
	Probe  int64  `json:"probe"` // when the next conversion may be tried
	Step   int    `json:"step"`  // how many probes have failed
	Key    string `json:"key"`   // of the conversion of the last probe that failed
}

// gate decides whether a conversion may be sent: always, but for a pause, in
// which one at a time is let through to see whether it is over. A pause is in
// the shared state, for all processes, or, after a 401, in this one alone.
type gate struct {
	row      SharedState
	now      func() time.Time
	retryMin time.Duration
	retryMax time.Duration

	mu        sync.Mutex
	own       *pause // after a 401
	lastKey   string // the conversion that failed last, with no good answer since
	lastClass string
}

// pass says which pauses a conversion that may be sent is the probe of.
type pass struct{ probesOwn, probesShared bool }

// enter says whether a conversion may be sent now. In a pause that is one at a
// time: whoever may is the probe, and nobody else is before its call must be over.
func (g *gate) enter(ctx context.Context) (p pass, ok bool, err error) {
	now := g.now()
	g.mu.Lock()
	if g.own != nil {
		if g.wait(g.own, now) > 0 {
			g.mu.Unlock()
			return pass{}, false, nil
		}
		g.own.Probe = now.Add(callMax).UnixMilli()
		p.probesOwn = true
	}
	g.mu.Unlock()

	s, _, _, err := load(ctx, g.row)
	if err != nil || s.Pause == nil {
		return p, err == nil, err
	}
	err = update(ctx, g.row, func(s *state, _ time.Time) bool {
		p.probesShared = s.Pause != nil && g.wait(s.Pause, now) <= 0
		ok = s.Pause == nil || p.probesShared
		if p.probesShared {
			s.Pause.Probe = now.Add(callMax).UnixMilli()
		}
		return p.probesShared
	})
	return p, ok && err == nil, err
}

// peek is enter without taking the probe: how long nothing may be sent, and
// whether what may be sent then is a probe.
func (g *gate) peek(ctx context.Context) (wait time.Duration, probing bool, err error) {
	own, common, err := g.paused(ctx)
	now := g.now()
	for _, p := range []*pause{own, common} {
		if p != nil {
			wait, probing = max(wait, g.wait(p, now)), true
		}
	}
	return wait, probing, err
}

// paused returns the pauses that hold this process.
func (g *gate) paused(ctx context.Context) (own, common *pause, err error) {
	g.mu.Lock()
	if g.own != nil {
		p := *g.own
		own = &p
	}
	g.mu.Unlock()
	s, _, _, err := load(ctx, g.row)
	return own, s.Pause, err
}

// answered notes that SparkLoop has said something about a conversion, and
// returns the pause that this ends.
func (g *gate) answered(ctx context.Context, p pass) (ended *pause) {
	g.mu.Lock()
	g.lastKey, g.lastClass = "", ""
	ended, g.own = g.own, nil
	g.mu.Unlock()
	if !p.probesShared {
		return ended
	}
	var common *pause
	err := update(ctx, g.row, func(s *state, _ time.Time) bool {
		common, s.Pause = s.Pause, nil
		return common != nil
	})
	if err == nil && common != nil {
		ended = common
	}
	return ended
}

// failed notes that a conversion got no good answer, and returns the pause
// that begins with it.
func (g *gate) failed(ctx context.Context, p pass, key, class, reason string) (began *pause) {
	now := g.now()
	fresh := &pause{Class: class, Reason: reason, Since: now.UnixMilli()}
	fresh.Probe = now.Add(g.interval(0)).UnixMilli()

	g.mu.Lock()
	alike := g.lastKey != "" && g.lastKey != key && g.lastClass == class
	g.lastKey, g.lastClass = key, class
	switch {
	case p.probesOwn && g.own != nil:
		if class != unauthorized {
			g.again(g.own, now, key, g.own.Class, g.own.Reason) // that says nothing about the key
		} else {
			g.again(g.own, now, key, class, reason)
		}
	case class == unauthorized && g.own == nil: // it is about the key: no second conversion is needed
		own := *fresh
		g.own, began = &own, fresh
	}
	g.mu.Unlock()

	if !p.probesShared && (!alike || class == unauthorized) {
		return began
	}
	var changed bool
	err := update(ctx, g.row, func(s *state, _ time.Time) bool {
		changed = false
		switch {
		case class == unauthorized:
			s.Pause = nil // SparkLoop is back, and refuses the key of this process
		case p.probesShared && s.Pause != nil:
			g.again(s.Pause, now, key, class, reason)
		case s.Pause == nil && alike:
			s.Pause, changed = fresh, true
		default:
			return false
		}
		return true
	})
	if err == nil && changed {
		began = fresh
	}
	return began
}

// again sets the time of the next probe after one that failed.
func (g *gate) again(p *pause, now time.Time, key, class, reason string) {
	p.Step++
	p.Key, p.Class, p.Reason = key, class, reason
	p.Probe = now.Add(g.interval(p.Step)).UnixMilli()
}

// alone says whether the last probe was with the same conversion as this one.
// They take turns, so there is no other.
func (g *gate) alone(ctx context.Context, p pass, key string) bool {
	own, common, err := g.paused(ctx)
	return err == nil && (!p.probesOwn || own != nil && own.Key == key) &&
		(!p.probesShared || common != nil && common.Key == key)
}

// interval is the time until probe n+1.
func (g *gate) interval(n int) time.Duration {
	return backoff(g.retryMin, min(g.retryMax, max(g.retryMin, probeMax)), n)
}

// wait is how long it is until the next probe. One further away than any that
// we set was set by a clock that was wrong.
func (g *gate) wait(p *pause, now time.Time) time.Duration {
	wait := time.UnixMilli(p.Probe).Sub(now)
	if wait > max(g.retryMin, probeMax)+time.Minute {
		return 0
	}
	return max(wait, 0)
}

// backoff is a pause after n failures before: lo doubled n times, at most hi,
// less a random part of up to a half.
func backoff(lo, hi time.Duration, n int) time.Duration {
	d := hi
	if n < 62 && lo <= hi>>n {
		d = lo << n
	}
	return d/2 + rand.N(d/2+1)
}

const unauthorized = "unauthorized"

// classOf names what is alike in two failures.
func classOf(err error) string {
	var e *sparkloop.Error
	switch {
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return unauthorized
	case errors.Is(err, sparkloop.ErrEndpointNotFound):
		return "endpoint not found"
	case errors.Is(err, sparkloop.ErrUnexpectedResponse):
		return "unexpected response"
	case !errors.As(err, &e) || e.StatusCode == 0:
		return "no answer"
	case e.StatusCode >= http.StatusInternalServerError:
		return "server error"
	}
	return "status " + strconv.Itoa(e.StatusCode)
}
