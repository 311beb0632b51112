// Package delivery is the policy of the outbox, for both engines: states, retries,
// pauses, sweeps, and the shared rate limit. An engine only stores conversions.
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
	limiter *limiter // nil if the client has its own, or none
	retry   retry
	clock   clock
	opened  time.Time

	flying   atomic.Int64 // deliveries in progress
	keyNoted atomic.Int64 // time of the last noted success of the key, in milliseconds
	count    struct{ confirmed, dead, expired, retried atomic.Int64 }
}

// New returns the policy of a process. o comes from Complete. row is shared by all
// processes of the queue. If Options.Now is nil, the queue's clock is the common
// clock of row. New sends nothing.
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

// Client returns a client that shares the queue's rate limit and does not retry.
func (p *Policy) Client() *sparkloop.Client { return p.client }

// Now returns the time on the queue's clock: Options.Now, or the common clock.
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

// Lease returns how long a claim on a conversion must hold at least. It is longer
// than Deliver takes.
func (p *Policy) Lease() time.Duration {
	return slotMax + p.callMost() + 3*time.Second
}

// callMost bounds a call, including the waits of further requests for slots: the
// first call of a client may try all published forms of the endpoint.
func (p *Policy) callMost() time.Duration {
	if p.limiter == nil {
		return callMax
	}
	return callMax + 4*p.limiter.every
}

// Flying returns the number of deliveries in progress.
func (p *Policy) Flying() int { return int(p.flying.Load()) }

// Verdict is the result of Deliver.
type Verdict struct {
	// Entry is the entry to store. State, Attempts, Reason, DueAt and FinishedAt
	// may have changed.
	Entry outbox.Entry

	// Sent is false if no request was sent. Then only DueAt of the entry may have
	// changed, and the engine gives it back.
	Sent bool

	// Woken is true if the pause of the entry's offer has ended. All waiting
	// conversions of the offer are due now.
	Woken bool
}

// Deliver sends an entry to SparkLoop and returns the entry to store. probe is
// Plan's choice, or nil for an entry that is due. Deliver takes less than Lease.
// It returns no error: a failure is in the verdict. If ctx ends before the answer
// arrives, the entry is due at once.
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
	// An answer that has arrived is noted even if delivery stops now.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	a := answer{err: err, probe: leave.probe(), alone: leave.alone}
	if err == nil {
		a.message = yes.Message
	}
	return p.conclude(ctx, e, a, leave)
}

// admit waits for a slot and lets the entry through. It returns a verdict if the
// entry is not sent now.
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
			return pass{}, reserved{}, &Verdict{Entry: e} // it keeps its place; Plan returns how long to wait
		case s.Offers[e.Tracking.Offer] != nil:
			p.unused(ctx, slot)
			e.DueAt = now.Add(backoff(p.retry.max, p.retry.max, 0)) // the end of the offer's pause makes it due
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

// unused frees a slot that is not used.
func (p *Policy) unused(ctx context.Context, slot reserved) {
	if slot.slot != 0 {
		p.limiter.giveBack(ctx, slot.slot)
	}
}

// conclude decides the state of an entry that was sent, and begins or ends pauses.
func (p *Policy) conclude(ctx context.Context, e outbox.Entry, a answer, leave pass) Verdict {
	var wait time.Duration
	now := p.Now()
	class, limited := "", errors.Is(a.err, sparkloop.ErrRateLimited)
	if a.err != nil {
		class, wait = classOf(a.err), p.retry.pause(e.Attempts, a.err)
	}
	switch {
	case a.err == nil, limited: // after a 429 the limiter holds all processes
	case leave.own || leave.queue || class == unauthorized:
		// The failure does not concern this conversion: it is due soon.
		wait = p.retry.pause(0, nil)
	case leave.offer:
		wait = backoff(p.retry.max, p.retry.max, 0)
	}
	v := Verdict{Entry: decide(e, a, now, wait), Sent: true}
	if a.err == nil {
		p.keyWorks(ctx, now)
	} else if p.otherAccount(ctx, a.err) {
		v.Entry.Reason += "; " + otherKeys
	}
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

// Delivered returns the counts of the calls of Stored.
func (p *Policy) Delivered() outbox.Delivered {
	return outbox.Delivered{
		Confirmed: p.count.confirmed.Load(), Dead: p.count.dead.Load(),
		Expired: p.count.expired.Load(), Retried: p.count.retried.Load(),
	}
}

// Stored counts an entry, logs it and calls the hook. The engine calls it after
// the entry is stored.
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
		hook, level, text = nil, slog.LevelDebug, "sparkloop outbox: a conversion will be retried"
	}
	p.o.Logger.LogAttrs(ctx, level, text, slog.Int64("id", e.ID), slog.String("conversion", e.Tracking.Key()),
		slog.Int("attempts", e.Attempts), slog.String("reason", e.Reason))
	if hook != nil {
		p.call("OnConfirmed or OnDead", func() { hook(e) })
	}
}

// Paused sets PausedSince and PausedReason.
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
	case p.o.Workers < 0: // this process does not deliver: report the delivering processes' key
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

// giveBack returns the verdict on an entry that was not sent.
func (p *Policy) giveBack(e outbox.Entry, wait time.Duration) Verdict {
	e.DueAt = p.Now().Add(wait)
	return Verdict{Entry: e}
}

// happened logs a pause and calls OnPaused.
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

// ended logs the end of pauses whose beginning was logged.
func (p *Policy) ended(ctx context.Context, pauses []*pause) {
	for _, ended := range pauses {
		if ended.Said {
			p.o.Logger.LogAttrs(ctx, slog.LevelWarn, "sparkloop outbox: resumed",
				slog.Duration("paused", max(p.Now().Sub(time.UnixMilli(ended.Since)).Round(time.Second), 0)))
		}
	}
}

// call runs a hook in its own goroutine: a panic or runtime.Goexit must not end a
// worker.
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
