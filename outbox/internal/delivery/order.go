package delivery

import (
	"context"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// A waiting conversion is in a lane. Fresh conversions are sent first, so that
// none waits for days behind a backlog. The backlog is sent by expiry. It gets a
// share of the turns, so that fresh conversions cannot starve it. Both engines
// store the lane as River stores a priority: the lower number is fetched first.
const (
	LaneShare   = 1 // of the backlog, sent before fresh conversions
	LaneFresh   = 2 // enqueued within FreshFor, by the time of enqueueing
	LaneBacklog = 3 // by expiry
	LaneLate    = 4 // after expiry: SparkLoop may refuse it
	LaneWaiting = 5 // not due yet; River has states for this
)

const (
	// FreshFor is how long a conversion is sent before the backlog.
	FreshFor = 10 * time.Minute
	// Lifetime is how long SparkLoop accepts a confirmation after the click.
	Lifetime = lifetime
)

// turns returns n if every nth turn is the backlog's. n is small if the first
// conversion of the backlog expires soon.
func turns(expires, now time.Time) int {
	if expires.Sub(now) < day {
		return 2
	}
	return 10
}

// Share reports whether it is the backlog's turn. It is for an engine that cannot
// count turns, because another process may take the next one. expires is when the
// first conversion of the backlog expires.
func (p *Policy) Share(ctx context.Context, expires time.Time) (yes bool, err error) {
	if p.limiter == nil {
		return true, nil
	}
	err = p.gate.update(ctx, func(s *state, now time.Time) bool {
		next := time.Duration(turns(expires, now)) * p.limiter.every
		wait := time.UnixMilli(s.Share).Sub(now)
		if yes = wait <= 0 || wait > next+setBack; yes {
			s.Share = now.Add(next).UnixMilli()
		}
		return yes
	})
	return yes, err
}

// Heads are the first conversions of the lanes. An empty lane is nil.
type Heads struct{ Fresh, Backlog, Late *outbox.Entry }

// Pick returns the conversion whose turn it is, or nil if all lanes are empty.
func (h Heads) Pick(turn int, now time.Time) *outbox.Entry {
	switch {
	case h.Fresh != nil && h.Backlog != nil && turn%turns(expires(*h.Backlog), now) == 0:
		return h.Backlog
	case h.Fresh != nil:
		return h.Fresh
	case h.Backlog != nil:
		return h.Backlog
	}
	return h.Late
}
