package delivery

import (
	"context"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// A conversion that waits to be sent is in a lane. Fresh ones go first: nobody
// waits for days behind a backlog. The backlog goes by expiry, and gets a share of
// the turns, so that fresh ones cannot starve it. Both engines store the lane as
// River stores a priority: the lower number is fetched first.
const (
	LaneShare   = 1 // of the backlog, ahead of fresh ones: its share
	LaneFresh   = 2 // enqueued within FreshFor, by the time of enqueueing
	LaneBacklog = 3 // by expiry
	LaneLate    = 4 // beyond its expiry: it may no longer be accepted
	LaneWaiting = 5 // until it is due; River has a state for that
)

const (
	// FreshFor is how long a conversion goes ahead of the backlog.
	FreshFor = 10 * time.Minute
	// Lifetime is how long SparkLoop accepts a confirmation after the click.
	Lifetime = lifetime
)

// turns is how many turns there are for each one of the backlog: few if its head
// is about to expire.
func turns(expires, now time.Time) int {
	if expires.Sub(now) < day {
		return 2
	}
	return 10
}

// Share reports whether it is the backlog's turn, where an engine cannot count
// turns because another process takes the next one. expires is of its head.
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

// Heads are the first conversions of the lanes, or nil.
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
