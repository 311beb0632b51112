package delivery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// Filter picks waiting conversions: pending, and not in delivery by a process.
type Filter struct {
	Offer  string   // only this offer, unless empty
	Except []string // none of these offers
	Newest bool     // true: only those never sent, newest first; false: by due time, due or not
	Limit  int
}

// Picks reports whether a waiting conversion passes the filter.
func (f Filter) Picks(e outbox.Entry) bool {
	return (f.Offer == "" || f.Offer == e.Tracking.Offer) && !slices.Contains(f.Except, e.Tracking.Offer) &&
		(!f.Newest || e.Attempts == 0)
}

// Waiting returns the conversions that a filter picks.
type Waiting func(ctx context.Context, f Filter) ([]outbox.Entry, error)

// Plan is what a process may do now.
type Plan struct {
	// Wait is how long the process sends nothing.
	Wait time.Duration
	// Probe is the only conversion that the process may send, due or not. If Probe
	// is nil, the process sends what is due.
	Probe *Probe
}

// Probe is a conversion that is sent to find out whether a pause is over.
type Probe struct {
	Entry outbox.Entry
	offer string // the paused offer; "" for a pause of the queue or the process
	early bool   // before the pause's next probe: its offer was not tried yet
}

const (
	candidates = 20 // conversions that a probe is chosen from, newest and oldest each
	idle       = time.Second
	triedMax   = 50 // stored offers of a pause
)

// Holds reports whether a pause holds all conversions of this process.
func (p *Policy) Holds(ctx context.Context) bool {
	s, _, err := p.gate.load(ctx)
	return err == nil && (p.gate.foreign(&s) || len(p.gate.holding(&s)) > 0)
}

// Plan decides what a process may do now. In a pause it chooses the probe among
// the waiting conversions.
func (p *Policy) Plan(ctx context.Context, waiting Waiting) (Plan, error) {
	s, now, err := p.gate.load(ctx)
	if err != nil {
		return Plan{}, err
	}
	if p.gate.foreign(&s) {
		return Plan{Wait: time.Minute}, nil
	}
	if pauses := p.gate.holding(&s); len(pauses) > 0 {
		return p.planPaused(ctx, waiting, pauses, now)
	}
	for _, offer := range p.gate.due(&s, now) {
		found, err := waiting(ctx, Filter{Offer: offer, Newest: true, Limit: candidates})
		if err != nil {
			return Plan{}, err
		}
		more, err := waiting(ctx, Filter{Offer: offer, Limit: candidates})
		if err != nil {
			return Plan{}, err
		}
		if e, ok := choose(append(found, more...), nil, s.Offers[offer].Key); ok {
			return Plan{Probe: &Probe{Entry: e, offer: offer}}, nil
		}
		if err := p.gate.forget(ctx, offer); err != nil { // no conversion of it waits
			return Plan{}, err
		}
	}
	if p.limiter != nil {
		return Plan{Wait: max(0, p.limiter.ahead(s, now)-near)}, nil
	}
	return Plan{}, nil
}

func (p *Policy) planPaused(ctx context.Context, waiting Waiting, pauses []*pause, now time.Time) (Plan, error) {
	var wait time.Duration
	var tried []string
	var last string
	early := true
	for _, one := range pauses {
		wait = max(wait, p.gate.wait(one, now))
		early = early && one.Class != unauthorized && now.Sub(time.UnixMilli(one.Last)) >= p.gate.retry.min
		tried, last = append(tried, one.Tried...), one.Key
	}
	if wait > 0 && !early {
		return Plan{Wait: wait}, nil
	}
	found, err := waiting(ctx, Filter{Newest: true, Limit: candidates})
	if err != nil {
		return Plan{}, err
	}
	if wait > 0 { // an offer that was not tried in this pause may work
		found = slices.DeleteFunc(found, func(e outbox.Entry) bool { return slices.Contains(tried, e.Tracking.Offer) })
		if e, ok := choose(found, nil, last); ok {
			return Plan{Probe: &Probe{Entry: e, early: true}}, nil
		}
		return Plan{Wait: min(wait, idle)}, nil
	}
	for _, except := range [][]string{tried, tried[max(0, len(tried)-1):], nil} {
		more, err := waiting(ctx, Filter{Except: except, Limit: candidates})
		if err != nil {
			return Plan{}, err
		}
		if found = append(found, more...); len(more) > 0 {
			break
		}
	}
	if e, ok := choose(found, tried, last); ok {
		return Plan{Probe: &Probe{Entry: e}}, nil
	}
	return Plan{Wait: idle}, nil
}

// choose returns the next probe among candidates. tried are the offers that failed
// in the pause, in this order. last is the key of the last probe.
//
// The conversion of the last probe comes last. The offer that was tried longest ago
// comes first: another offer shows more than the same offer again. Within an offer,
// conversions that were never sent come first, the newest of them first: old ones
// may wait because they fail. Then the fewest attempts and the earliest due time
// decide.
func choose(candidates []outbox.Entry, tried []string, last string) (outbox.Entry, bool) {
	if len(candidates) == 0 {
		return outbox.Entry{}, false
	}
	lately := make(map[string]int, len(tried))
	for i, offer := range tried {
		lately[offer] = i + 1
	}
	same := func(e outbox.Entry) int {
		if e.Tracking.Key() == last {
			return 1
		}
		return 0
	}
	return slices.MinFunc(candidates, func(a, b outbox.Entry) int {
		age := cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.ID, b.ID))
		if a.Attempts == 0 {
			age = cmp.Or(b.EnqueuedAt.Compare(a.EnqueuedAt), cmp.Compare(b.ID, a.ID))
		}
		return cmp.Or(
			cmp.Compare(same(a), same(b)),
			cmp.Compare(lately[a.Tracking.Offer], lately[b.Tracking.Offer]),
			cmp.Compare(a.Attempts, b.Attempts),
			age,
		)
	}), true
}
