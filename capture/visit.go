package capture

import (
	"context"
	"slices"
	"sync"

	"github.com/sparkloop-go/sparkloop"
)

// visit is what one request knows: the trackings that the cookie keeps, and
// one that may not be kept.
type visit struct {
	mu      sync.Mutex
	kept    []sparkloop.Tracking // newest first
	shown   sparkloop.Tracking   // in the context alone: there is no consent
	cookies int                  // how many of our name the request brought
	changed bool                 // kept is not what the cookie says
	done    bool                 // the header has been written
}

type contextKey struct{}

func (v *visit) context(parent context.Context) context.Context {
	return context.WithValue(parent, contextKey{}, v)
}

func fromContext(ctx context.Context) *visit {
	v, _ := ctx.Value(contextKey{}).(*visit)
	return v
}

// FromContext returns the newest tracking of the visitor, and whether there is
// one. The context is that of a request behind [Capture.Handler].
func FromContext(ctx context.Context) (sparkloop.Tracking, bool) {
	all := All(ctx)
	if len(all) == 0 {
		return sparkloop.Tracking{}, false
	}
	return all[0], true
}

// ForOffer returns the visitor's tracking for an offer, and whether there is
// one.
func ForOffer(ctx context.Context, offer string) (sparkloop.Tracking, bool) {
	for _, t := range All(ctx) {
		if t.Offer == offer {
			return t, true
		}
	}
	return sparkloop.Tracking{}, false
}

// All returns the visitor's trackings, one for each offer, the newest first.
func All(ctx context.Context) []sparkloop.Tracking {
	if v := fromContext(ctx); v != nil {
		return v.all()
	}
	return nil
}

func (v *visit) all() []sparkloop.Tracking {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := slices.Clone(v.kept)
	if !v.shown.IsZero() {
		all = insert(drop(all, v.shown.Offer), v.shown)
	}
	return all
}

// keeps says whether the cookie has a tracking for the offer.
func (v *visit) keeps(offer string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return find(v.kept, offer) >= 0
}

// store keeps a tracking by the policy, and says whether that changed anything.
func (v *visit) store(t sparkloop.Tracking, policy Policy, most int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !counts(v.kept, t, policy) {
		return false
	}
	v.kept = drop(v.kept, t.Offer)
	for len(v.kept) >= most || encodedLen(v.kept)+encodedLen([]sparkloop.Tracking{t}) > maxCookie {
		v.kept = v.kept[:len(v.kept)-1]
	}
	v.kept = insert(v.kept, t)
	v.changed, v.shown = true, sparkloop.Tracking{}
	return true
}

// show has the context show a tracking that is not stored.
func (v *visit) show(t sparkloop.Tracking, policy Policy) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if counts(v.kept, t, policy) {
		v.shown = t
	}
}

// drop forgets the trackings of the offers, or all of them if none is named.
func (v *visit) drop(offers []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	gone := func(t sparkloop.Tracking) bool { return len(offers) == 0 || slices.Contains(offers, t.Offer) }
	before := len(v.kept)
	v.kept = slices.DeleteFunc(v.kept, gone)
	v.changed = v.changed || len(v.kept) < before
	if gone(v.shown) {
		v.shown = sparkloop.Tracking{}
	}
}

func (v *visit) sent() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.done
}

// counts says whether a click changes what is kept: never the same submission
// again, and by the policy a later one for the same offer.
func counts(kept []sparkloop.Tracking, t sparkloop.Tracking, policy Policy) bool {
	i := find(kept, t.Offer)
	return i < 0 || policy == LastClick && kept[i].Submission != t.Submission && !t.CapturedAt.Before(kept[i].CapturedAt)
}

func find(ts []sparkloop.Tracking, offer string) int {
	return slices.IndexFunc(ts, func(t sparkloop.Tracking) bool { return t.Offer == offer })
}

func drop(ts []sparkloop.Tracking, offer string) []sparkloop.Tracking {
	return slices.DeleteFunc(ts, func(t sparkloop.Tracking) bool { return t.Offer == offer })
}

// insert puts a tracking before those that are not newer.
func insert(ts []sparkloop.Tracking, t sparkloop.Tracking) []sparkloop.Tracking {
	i := 0
	for i < len(ts) && ts[i].CapturedAt.After(t.CapturedAt) {
		i++
	}
	return slices.Insert(ts, i, t)
}
