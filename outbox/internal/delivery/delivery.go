// Package delivery is what both engines of the outbox do alike: what becomes
// of a conversion, when it is tried again, when the queue pauses and goes on, and the
// one rate limit of all processes. An engine stores.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/calls"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Policy is one process's part in a queue. It is safe for concurrent use.
type Policy struct {
	client  *sparkloop.Client
	o       outbox.Options
	row     SharedState
	gate    *gate
	limiter *limiter // nil: the client has its own, or none
	retry   retry
	clock   clock
	opened  time.Time

	flying atomic.Int64 // deliveries under way
	count  struct{ confirmed, dead, expired, retried atomic.Int64 }
}

// New returns the policy for a client, for Options that Complete has seen and
// for the state that all processes of the queue share. Where Options.Now is nil,
// the clock is that of the shared state. It sends nothing.
func New(c *sparkloop.Client, o outbox.Options, row SharedState) (*Policy, error) {
	if c == nil {
		return nil, errors.New("the client is nil")
	}
	p := &Policy{o: o, row: row, retry: retry{o.RetryMin, o.RetryMax}}
	options := []sparkloop.Option{sparkloop.WithRetries(0)}
	if requests, window := c.RateLimit(); requests > 0 {
		p.limiter = newLimiter(row, requests, window)
		options = append(options, sparkloop.WithLimiter(p.limiter))
	}
	var err error
	if p.client, err = c.With(options...); err != nil {
		return nil, err
	}
	p.gate = &gate{row: row, now: p.at, retry: p.retry, api: apiOf(c)}
	return p, nil
}

// Client sends each request through the queue's limit, and never twice.
func (p *Policy) Client() *sparkloop.Client { return p.client }

// Now returns the time on the queue's clock: that of Options.Now, or the one
// that all processes share.
func (p *Policy) Now() time.Time { return p.at(time.Time{}) }

func (p *Policy) at(shared time.Time) time.Time {
	switch {
	case p.o.Now != nil:
		return p.o.Now()
	case shared.IsZero():
		return p.clock.now()
	}
	p.clock.look(shared)
	return shared
}

// Lease is how long a claim on a conversion holds at least: longer than Deliver
// takes.
func (p *Policy) Lease() time.Duration {
	return slotMax + p.callMost() + 3*time.Second
}

// callMost bounds a call with the waits of its further requests for slots: the
// first call of a client may have to try all published forms of the endpoint.
func (p *Policy) callMost() time.Duration {
	if p.limiter == nil {
		return callMax
	}
	return callMax + 4*p.limiter.every
}

// Flying returns how many deliveries are under way.
func (p *Policy) Flying() int { return int(p.flying.Load()) }

// Verdict is what Deliver has found out about an entry.
type Verdict struct {
	// Entry is the entry as it is now to be stored: State, Attempts, Reason,
	// DueAt, FinishedAt.
	Entry outbox.Entry

	// Sent is false if SparkLoop was not asked: the entry is to be given back
	// as it was, to be taken again at its DueAt.
	Sent bool

	// Woken says that the entry's offer was paused and goes on: what waits of
	// it is due now.
	Woken bool
}

// Deliver asks SparkLoop to confirm an entry and says what is to become of it.
// probe is what Plan chose, or nil for an entry that is due. It takes less than
// Lease, and never fails: what went wrong is in the verdict. If ctx ends before
// the answer is there, the entry is due at once.
func (p *Policy) Deliver(ctx context.Context, e outbox.Entry, probe *Probe) Verdict {
	p.flying.Add(1)
	defer p.flying.Add(-1)
	leave, slot, v := p.admit(ctx, e, probe)
	if v != nil {
		return *v
	}
	call, cancel := newCall(ctx, p.callMost(), slot)
	defer cancel()
	yes, err := p.client.Conversions.Confirm(calls.WithDelivery(call, e.Tracking.Key()), e.Tracking)
	if ctx.Err() != nil && sparkloop.Retryable(err) {
		return p.giveBack(e, 0)
	}
	if unsent(err) {
		return p.giveBack(e, time.Second+rand.N(time.Second))
	}
	// What SparkLoop has said is noted, also if delivery ends just now.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	a := answer{err: err, probe: leave.probe(), alone: leave.alone}
	if err == nil {
		a.message = yes.Message
	}
	return p.conclude(ctx, e, a, leave)
}

// admit waits for a slot and lets the entry through, or returns the verdict on
// an entry that is not sent now.
func (p *Policy) admit(ctx context.Context, e outbox.Entry, probe *Probe) (leave pass, slot reserved, v *Verdict) {
	back := func(wait time.Duration) (pass, reserved, *Verdict) { //nolint:unparam // the results of admit
		v := p.giveBack(e, wait)
		return pass{}, reserved{}, &v
	}
	failed := func() (pass, reserved, *Verdict) {
		if ctx.Err() != nil {
			return back(0)
		}
		return back(500 * time.Millisecond)
	}
	s, now, err := p.gate.load(ctx)
	if err != nil {
		return failed()
	}
	for waited := p.limiter == nil; ; waited = true {
		switch {
		case probe != nil:
		case p.gate.foreign(&s) || len(p.gate.holding(&s)) > 0:
			p.unused(ctx, slot)
			return pass{}, reserved{}, &Verdict{Entry: e} // it keeps its place in line; Plan says how long
		case s.Offers[e.Tracking.Offer] != nil:
			p.unused(ctx, slot)
			e.DueAt = now.Add(backoff(p.retry.max, p.retry.max, 0)) // or when the offer is woken
			return pass{}, reserved{}, &Verdict{Entry: e}
		}
		if waited {
			break
		}
		var later time.Duration
		if s, slot, later, err = p.limiter.take(ctx); err != nil {
			return failed()
		}
		if later > 0 {
			return back(later)
		}
		now = p.Now()
	}
	if probe == nil {
		return pass{tidy: s.Rejected != nil}, slot, nil
	}
	leave, ok, err := p.gate.take(ctx, probe)
	switch {
	case err != nil:
		return failed()
	case !ok:
		p.unused(ctx, slot)
		return pass{}, reserved{}, &Verdict{Entry: e} // another process was faster
	}
	return leave, slot, nil
}

// unused gives a slot back that was taken in vain.
func (p *Policy) unused(ctx context.Context, slot reserved) {
	if slot.slot != 0 {
		p.limiter.giveBack(ctx, slot.slot)
	}
}

// conclude decides what an entry that was sent becomes, and begins or ends
// pauses.
func (p *Policy) conclude(ctx context.Context, e outbox.Entry, a answer, leave pass) Verdict {
	var wait time.Duration
	now := p.Now()
	class, limited := "", errors.Is(a.err, sparkloop.ErrRateLimited)
	if a.err != nil {
		class, wait = classOf(a.err), p.retry.pause(e.Attempts, a.err)
	}
	switch {
	case a.err == nil, limited: // after a 429 the limiter holds everybody
	case leave.own || leave.queue || class == unauthorized:
		// It says nothing about this conversion: the next probe takes another
		// one, and after the pause this one is soon due.
		wait = p.retry.pause(0, nil)
	case leave.offer:
		wait = backoff(p.retry.max, p.retry.max, 0)
	}
	v := Verdict{Entry: decide(e, a, now, wait), Sent: true}
	switch {
	case !sparkloop.Retryable(a.err), v.Entry.State == outbox.Expired && leave.probe():
		var ended []*pause
		ended, v.Woken = p.gate.answered(ctx, leave, e.Tracking.Offer)
		p.ended(ctx, ended)
	case v.Entry.State == outbox.Pending && !limited:
		p.happened(ctx, p.gate.failed(ctx, leave, e, class, reasonOf(a.err), now), e, a.err)
	}
	return v
}

// Delivered counts the verdicts that Stored was called with.
func (p *Policy) Delivered() outbox.Delivered {
	return outbox.Delivered{
		Confirmed: p.count.confirmed.Load(), Dead: p.count.dead.Load(),
		Expired: p.count.expired.Load(), Retried: p.count.retried.Load(),
	}
}

// Stored counts a verdict and tells the logger and the hooks, once the verdict
// is in the database.
func (p *Policy) Stored(ctx context.Context, e outbox.Entry) {
	hook, level, text := p.o.OnDead, slog.LevelWarn, "sparkloop outbox: a conversion is "+string(e.State)
	switch e.State {
	case outbox.Confirmed:
		p.count.confirmed.Add(1)
		hook, level = p.o.OnConfirmed, slog.LevelDebug
	case outbox.Dead:
		p.count.dead.Add(1)
	case outbox.Expired:
		p.count.expired.Add(1)
	case outbox.Pending:
		p.count.retried.Add(1)
		hook, level, text = nil, slog.LevelDebug, "sparkloop outbox: a conversion is to be tried again"
	}
	p.o.Logger.LogAttrs(ctx, level, text, slog.Int64("id", e.ID), slog.String("conversion", e.Tracking.Key()),
		slog.Int("attempts", e.Attempts), slog.String("reason", e.Reason))
	if hook != nil {
		p.call("OnConfirmed or OnDead", func() { hook(e) })
	}
}

// Paused fills in since when and why nothing is sent.
func (p *Policy) Paused(ctx context.Context, s *outbox.Stats) error {
	shared, _, err := p.gate.load(ctx)
	if err != nil {
		return err
	}
	pauses := []*pause{shared.Pause}
	p.gate.mu.Lock()
	if p.gate.own != nil {
		own := *p.gate.own
		pauses = append(pauses, &own)
	}
	p.gate.mu.Unlock()
	switch {
	case p.o.Workers < 0: // this process sends nothing: the key of the others is all there is
		pauses = append(pauses, shared.Rejected)
	case p.gate.foreign(&shared):
		pauses = append(pauses, &pause{Since: p.opened.UnixMilli(), Reason: foreignReason(shared.API, p.gate.api)})
	}
	for _, one := range pauses {
		if one != nil {
			s.PausedSince, s.PausedReason = time.UnixMilli(one.Since).UTC(), one.Reason
		}
	}
	return nil
}

// giveBack is the verdict on an entry that was not sent.
func (p *Policy) giveBack(e outbox.Entry, wait time.Duration) Verdict {
	e.DueAt = p.Now().Add(wait)
	return Verdict{Entry: e}
}

// happened tells the log and the hook what a failure changed.
func (p *Policy) happened(ctx context.Context, ev event, e outbox.Entry, err error) {
	if ev.said != nil {
		text, attrs := "sparkloop outbox: paused", []slog.Attr{slog.String("reason", ev.said.Reason)}
		if ev.offer {
			text, attrs = "sparkloop outbox: an offer is paused", append(attrs, slog.String("offer", e.Tracking.Offer))
		}
		p.o.Logger.LogAttrs(ctx, slog.LevelWarn, text, attrs...)
	}
	if ev.began != nil && p.o.OnPaused != nil {
		p.call("OnPaused", func() { p.o.OnPaused(fmt.Errorf("sparkloop outbox: paused: %w", err)) })
	}
}

// ended tells the log about the end of pauses that it was told of.
func (p *Policy) ended(ctx context.Context, pauses []*pause) {
	for _, ended := range pauses {
		if ended.Said {
			p.o.Logger.LogAttrs(ctx, slog.LevelWarn, "sparkloop outbox: going on",
				slog.Duration("paused", max(p.Now().Sub(time.UnixMilli(ended.Since)).Round(time.Second), 0)))
		}
	}
}

// call runs a hook. The hook has a goroutine of its own: neither a panic nor
// runtime.Goexit may take a worker down with it.
func (p *Policy) call(name string, hook func()) {
	if err := guarded(hook); err != nil {
		p.o.Logger.Error("sparkloop outbox: a hook failed", slog.String("hook", name), slog.Any("error", err))
	}
}

// guarded runs f and returns an error if f panics or ends its goroutine.
func guarded(f func()) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = errors.New("called runtime.Goexit")
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panicked: %v", v)
			}
		}()
		f()
		err = nil
	}()
	<-done
	return err
}
