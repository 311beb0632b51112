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
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/api"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Policy is one process's part in a queue. It is safe for concurrent use.
type Policy struct {
	client *sparkloop.Client
	o      outbox.Options
	row    SharedState
	gate   *gate

	count struct{ confirmed, dead, expired, retried atomic.Int64 }
}

// New returns the policy for a client, for Options that Complete has seen and
// for the row that all processes of the queue share. It sends nothing.
func New(c *sparkloop.Client, o outbox.Options, row SharedState) (*Policy, error) {
	if c == nil {
		return nil, errors.New("the client is nil")
	}
	options := []sparkloop.Option{sparkloop.WithRetries(0)}
	if requests, window := c.RateLimit(); requests > 0 {
		options = append(options, sparkloop.WithLimiter(newLimiter(row, requests, window)))
	}
	own, err := c.With(options...)
	if err != nil {
		return nil, err
	}
	return &Policy{
		client: own,
		o:      o,
		row:    row,
		gate:   &gate{row: row, now: o.Now, retryMin: o.RetryMin, retryMax: o.RetryMax},
	}, nil
}

// Client sends each request through the queue's limit, and never twice.
func (p *Policy) Client() *sparkloop.Client { return p.client }

// Delivered counts the verdicts that Stored was called with.
func (p *Policy) Delivered() outbox.Delivered {
	return outbox.Delivered{
		Confirmed: p.count.confirmed.Load(), Dead: p.count.dead.Load(),
		Expired: p.count.expired.Load(), Retried: p.count.retried.Load(),
	}
}

// Verdict is what Deliver has found out about an entry.
type Verdict struct {
	// Entry is the entry as it is now to be stored: State, Attempts, Reason,
	// DueAt, FinishedAt.
	Entry outbox.Entry

	// Sent is false if SparkLoop was not asked: the entry is to be given back
	// as it was, to be taken again at its DueAt.
	Sent bool
}

// Ready says how long nothing may be sent because of a pause, and whether the
// pause goes on: then the next conversion is a probe, the one that waited
// longest, due or not.
func (p *Policy) Ready(ctx context.Context) (wait time.Duration, probing bool, err error) {
	return p.gate.peek(ctx)
}

// Deliver asks SparkLoop to confirm an entry and says what is to become of it.
// It takes at most 20 seconds, and never fails: what went wrong is in the
// verdict. If ctx ends before the answer is there, the entry is due at once.
func (p *Policy) Deliver(ctx context.Context, e outbox.Entry) Verdict {
	leave, ok, err := p.gate.enter(ctx)
	switch {
	case err != nil:
		return p.giveBack(e, 500*time.Millisecond)
	case !ok:
		return Verdict{Entry: e} // it keeps its place in line; until the next probe Ready holds
	}
	call, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	yes, err := p.client.Conversions.Confirm(api.WithDelivery(call, e.Tracking.Key()), e.Tracking)
	if ctx.Err() != nil && sparkloop.Retryable(err) {
		return p.giveBack(e, 0)
	}
	if unsent(err) {
		return p.giveBack(e, time.Second+rand.N(time.Second))
	}

	// What SparkLoop has said is noted, also if delivery ends just now.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	v := Verdict{Entry: e, Sent: true}
	v.Entry.Attempts++
	now := p.o.Now()
	if err == nil || !sparkloop.Retryable(err) {
		v.Entry.State, v.Entry.DueAt, v.Entry.FinishedAt = outbox.Confirmed, time.Time{}, now
		if err == nil {
			v.Entry.Reason = yes.Message
		} else {
			v.Entry.State, v.Entry.Reason = outbox.Dead, err.Error()
			if p.expired(e, now) {
				v.Entry.State = outbox.Expired
			}
		}
		p.goOn(ctx, p.gate.answered(ctx, leave))
		return v
	}

	v.Entry.Reason = err.Error()
	pause := backoff(p.o.RetryMin, p.o.RetryMax, e.Attempts)
	if asked, ok := sparkloop.RetryAfter(err); ok {
		pause = max(pause, min(asked, p.o.RetryMax))
	}
	if !errors.Is(err, sparkloop.ErrRateLimited) { // the limiter holds everybody then
		key, class, probing := e.Tracking.Key(), classOf(err), leave.probesOwn || leave.probesShared
		// What ends a conversion is about that one, and begins no pause. In a
		// pause it may be about all, unless no other is left to ask with: then the
		// pause ends too, as nothing could end it later.
		if p.expired(e, now) && judged(err) && (!probing || p.gate.alone(ctx, leave, key)) {
			v.Entry.State, v.Entry.DueAt, v.Entry.FinishedAt = outbox.Expired, time.Time{}, now
			if probing {
				p.goOn(ctx, p.gate.answered(ctx, leave))
			}
			return v
		}
		p.pause(ctx, p.gate.failed(ctx, leave, key, class, v.Entry.Reason), err)
		if probing || class == unauthorized {
			// It says nothing about this conversion: the next probe takes
			// another one, and after the pause this one is soon due.
			pause = backoff(p.o.RetryMin, p.o.RetryMax, 0)
		}
	}
	v.Entry.DueAt = now.Add(pause)
	return v
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
	own, common, err := p.gate.paused(ctx)
	for _, pause := range []*pause{common, own} {
		if pause != nil {
			s.PausedSince, s.PausedReason = time.UnixMilli(pause.Since).UTC(), pause.Reason
		}
	}
	return err
}

// giveBack is the verdict on an entry that was not sent.
func (p *Policy) giveBack(e outbox.Entry, wait time.Duration) Verdict {
	e.DueAt = p.o.Now().Add(wait)
	return Verdict{Entry: e}
}

// expired says whether SparkLoop does not take an entry's confirmation any more.
func (p *Policy) expired(e outbox.Entry, now time.Time) bool {
	expires := e.Tracking.ExpiresAt()
	if expires.IsZero() {
		expires = e.EnqueuedAt.Add(lifetime)
	}
	return !now.Before(expires)
}

// judged says whether an error that may pass was an answer about this
// conversion, and not one about the key, the way or the server.
func judged(err error) bool {
	var e *sparkloop.Error
	if !errors.As(err, &e) || errors.Is(err, sparkloop.ErrUnexpectedResponse) || errors.Is(err, sparkloop.ErrEndpointNotFound) {
		return false
	}
	switch e.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return e.StatusCode >= http.StatusInternalServerError
}

// unsent says whether an error means that no request was made.
func unsent(err error) bool {
	var e *sparkloop.Error
	var ours *stateError
	return errors.As(err, &ours) || errors.Is(err, sparkloop.ErrRateLimited) && errors.As(err, &e) && e.StatusCode == 0
}

func (p *Policy) pause(ctx context.Context, began *pause, err error) {
	if began == nil {
		return
	}
	p.o.Logger.LogAttrs(ctx, slog.LevelWarn, "sparkloop outbox: paused", slog.String("reason", began.Reason))
	if p.o.OnPaused != nil {
		p.call("OnPaused", func() { p.o.OnPaused(fmt.Errorf("sparkloop outbox: paused: %w", err)) })
	}
}

func (p *Policy) goOn(ctx context.Context, ended *pause) {
	if ended != nil {
		p.o.Logger.LogAttrs(ctx, slog.LevelWarn, "sparkloop outbox: going on",
			slog.Duration("paused", max(p.o.Now().Sub(time.UnixMilli(ended.Since)).Round(time.Second), 0)))
	}
}

// call runs a hook, which must not take a worker down with it.
func (p *Policy) call(name string, hook func()) {
	defer func() {
		if v := recover(); v != nil {
			p.o.Logger.Error("sparkloop outbox: "+name+" panicked", slog.Any("panic", v))
		}
	}()
	hook()
}
