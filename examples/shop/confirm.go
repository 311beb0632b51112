package main

import (
	"context"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// patience is how long one confirmation may take, and so for how long a
	// buyer waits when SparkLoop does not answer.
	patience = 3 * time.Second

	// A failed confirmation is tried again after firstPause, then after twice
	// that, and so on up to longestPause.
	firstPause   = 5 * time.Second
	longestPause = time.Hour
)

// deliver confirms an order and notes in its row what came of it. Two at the
// same order do no harm: SparkLoop counts a conversion once and says yes to
// both.
func (s *shop) deliver(ctx context.Context, o order) {
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := s.client.Conversions.Confirm(call, o.Tracking)
	if err != nil && ctx.Err() != nil {
		return // the shop closes, which says nothing about the order; it stays due
	}
	ctx = context.WithoutCancel(ctx) // the answer is here; note it in any case
	switch {
	case err == nil:
		err = s.store.confirm(ctx, o)
	case sparkloop.Retryable(err):
		s.logger.Warn("not confirmed yet", "order", o.ID, "error", err)
		err = s.store.postpone(ctx, o, pause(o.Tries, err), err)
	default:
		s.logger.Error("refused for good", "order", o.ID, "error", err)
		err = s.store.refuse(ctx, o, err)
	}
	if err != nil {
		s.logger.Error("an order's row was not written", "order", o.ID, "error", err) // it is tried again
	}
}

// pause is for how long to wait after a failure: what SparkLoop asked for, and
// longer each time.
func pause(tries int, err error) time.Duration {
	wait := min(firstPause<<min(tries, 20), longestPause)
	if asked, ok := sparkloop.RetryAfter(err); ok {
		wait = max(wait, asked)
	}
	return wait
}

// deliverDue makes a try for each order that is due.
func (s *shop) deliverDue(ctx context.Context) {
	orders, err := s.store.due(ctx)
	if err != nil && ctx.Err() == nil {
		s.logger.Error("the orders were not read", "error", err)
	}
	for _, o := range orders {
		if ctx.Err() != nil {
			return
		}
		s.deliver(ctx, o)
	}
}

// deliverAll delivers what is due now, what an earlier process left included,
// and then as it becomes due, until ctx ends.
func (s *shop) deliverAll(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s.deliverDue(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
