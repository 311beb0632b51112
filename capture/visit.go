package capture

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// visit is what one request knows: the trackings that the cookie keeps, and
// those that may not be kept.
type visit struct {
	mu      sync.Mutex
	kept    []sparkloop.Tracking // real ones first, then test clicks; of both the newest first
	spent   []mark               // what was cleared, the newest first
	shown   []sparkloop.Tracking // in the context alone: there is no consent, or no room
	cookies int                  // how many of our name the request brought
	changed bool                 // kept or spent is not what the cookie says
	done    bool                 // the header has been written
}

// innermost is the context key of the visit that the package functions read. Each
// Capture has its own visit besides, under ownKey.
type (
	innermost struct{}
	ownKey    struct{ c *Capture }
)

func (c *Capture) context(parent context.Context, v *visit) context.Context {
	return context.WithValue(context.WithValue(parent, ownKey{c}, v), innermost{}, v)
}

// own is this Capture's visit in a context, or nil.
func (c *Capture) own(ctx context.Context) *visit {
	v, _ := ctx.Value(ownKey{c}).(*visit)
	return v
}

// FromContext returns the newest tracking of the visitor, and whether there is
// one. A test click is returned only if there is no real one. The context is that
// of a request behind [Capture.Handler]; a *gin.Context works too. If several
// Captures are nested, the innermost one counts.
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

// All returns the visitor's trackings, one for each offer: the newest first, and
// test clicks last.
func All(ctx context.Context) []sparkloop.Tracking {
	v, ok := ctx.Value(innermost{}).(*visit)
	if !ok {
		if r := requestIn(ctx); r != nil {
			v, ok = r.Context().Value(innermost{}).(*visit)
		}
	}
	if !ok {
		return nil
	}
	return v.all()
}

// requestIn is the request of a framework's context that has one in a field
// Request and does not pass its values on, as a *gin.Context.
func requestIn(ctx context.Context) *http.Request {
	v := reflect.Indirect(reflect.ValueOf(ctx))
	if v.Kind() != reflect.Struct {
		return nil
	}
	if f, ok := v.Type().FieldByName("Request"); ok && len(f.Index) == 1 && f.IsExported() {
		r, _ := reflect.TypeAssert[*http.Request](v.FieldByIndex(f.Index))
		return r
	}
	return nil
}

func (v *visit) all() []sparkloop.Tracking {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := slices.Clone(v.kept)
	for _, t := range v.shown {
		all = insert(drop(all, t.Offer), t)
	}
	return all
}

// has returns the tracking for an offer that the cookie keeps, or if shown is set
// the one that the context has.
func (v *visit) has(offer string, shown bool) (sparkloop.Tracking, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if i := find(v.shown, offer); shown && i >= 0 {
		return v.shown[i], true
	}
	if i := find(v.kept, offer); i >= 0 {
		return v.kept[i], true
	}
	return sparkloop.Tracking{}, false
}

// settled reports whether the cookie has the offer of t, or t as spent: the
// landing URL adds nothing any more.
func (v *visit) settled(t sparkloop.Tracking) bool {
	_, stored := v.has(t.Offer, false)
	return stored || v.knows(t)
}

// store keeps t in place of what is there for its offer, and returns the offers
// that had to go. If there is no room, the oldest goes: that may be t itself,
// unless it is a click of this moment.
func (v *visit) store(t sparkloop.Tracking, most int, now time.Time) (stored bool, evicted []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept, spent := insert(drop(slices.Clone(v.kept), t.Offer), t), v.spent
	for len(kept) > most || size(kept, spent) > maxCookie {
		last := len(kept) - 1
		if kept[last].Offer == t.Offer && last > 0 && !t.Test && !t.CapturedAt.Before(now) {
			last-- // the others are from a clock that is ahead
		}
		switch {
		case len(kept) <= most && len(spent) > 0:
			spent = spent[:len(spent)-1]
		case kept[last].Offer == t.Offer:
			return false, nil
		default:
			evicted = append(evicted, kept[last].Offer)
			kept = slices.Delete(kept, last, last+1)
		}
	}
	v.kept, v.spent, v.changed = kept, spent, true
	v.shown = drop(v.shown, t.Offer)
	return true, evicted
}

// trim drops what a cookie has no room for, the oldest spent ones first.
func (v *visit) trim(most int) {
	v.kept = v.kept[:min(len(v.kept), most)]
	for size(v.kept, v.spent) > maxCookie {
		if n := len(v.spent); n > 0 {
			v.spent = v.spent[:n-1]
		} else {
			v.kept = v.kept[:len(v.kept)-1]
		}
	}
}

// show has the context show a tracking that is not stored.
func (v *visit) show(t sparkloop.Tracking) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown = append(drop(v.shown, t.Offer), t)
}

// clear forgets the trackings of the offers, or all of them if none is named.
func (v *visit) clear(offers []string, remember bool, now time.Time) {
	v.spend(func(t sparkloop.Tracking) bool { return len(offers) == 0 || slices.Contains(offers, t.Offer) }, remember, now)
}

// spend forgets the trackings that pick names. If remember is set, they stay in
// the cookie as spent; if not, and nothing else is left, no cookie stays.
func (v *visit) spend(pick func(sparkloop.Tracking) bool, remember bool, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	gone := slices.DeleteFunc(slices.Concat(v.kept, v.shown), func(t sparkloop.Tracking) bool { return !pick(t) })
	before := len(v.kept) + len(v.spent)
	v.kept, v.shown = slices.DeleteFunc(v.kept, pick), slices.DeleteFunc(v.shown, pick)
	if !remember {
		if len(v.kept) == 0 {
			v.spent = nil
		}
		v.changed = v.changed || len(v.kept)+len(v.spent) < before
		return
	}
	for _, t := range gone {
		if m := markOf(t); !t.Test && m.lives(now) && !slices.ContainsFunc(v.spent, m.same) {
			v.spent = slices.Insert(v.spent, 0, m)
		}
	}
	v.trim(len(v.kept))
	v.changed = v.changed || len(gone) > 0
}

// knows reports whether t was cleared before.
func (v *visit) knows(t sparkloop.Tracking) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return isSpent(v.spent, t)
}

// count is how many trackings the cookie keeps.
func (v *visit) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.kept)
}

func (v *visit) sent() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.done
}

func find(ts []sparkloop.Tracking, offer string) int {
	return slices.IndexFunc(ts, func(t sparkloop.Tracking) bool { return t.Offer == offer })
}

func drop(ts []sparkloop.Tracking, offer string) []sparkloop.Tracking {
	return slices.DeleteFunc(ts, func(t sparkloop.Tracking) bool { return t.Offer == offer })
}

// insert puts a tracking before those that are not newer, test clicks last.
func insert(ts []sparkloop.Tracking, t sparkloop.Tracking) []sparkloop.Tracking {
	i := slices.IndexFunc(ts, func(other sparkloop.Tracking) bool { return compare(t, other) <= 0 })
	if i < 0 {
		i = len(ts)
	}
	return slices.Insert(ts, i, t)
}

// compare orders trackings as All returns them.
func compare(a, b sparkloop.Tracking) int {
	switch {
	case a.Test == b.Test:
		return b.CapturedAt.Compare(a.CapturedAt)
	case b.Test:
		return -1
	}
	return 1
}
