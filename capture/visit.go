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

// visit holds the trackings of one request: those in the cookie, and those that
// may not be stored.
type visit struct {
	mu      sync.Mutex
	kept    []sparkloop.Tracking // real clicks, then test clicks; each newest first
	spent   []mark               // cleared, newest first
	shown   []sparkloop.Tracking // only in the context: no consent or no room
	cookies int                  // cookies of our name in the request
	changed bool                 // kept or spent differs from the cookie
	done    bool                 // the header has been written
}

// innermost is the context key of the visit that the package functions read.
// Each Capture also stores its own visit under ownKey.
type (
	innermost struct{}
	ownKey    struct{ c *Capture }
)

func (c *Capture) context(parent context.Context, v *visit) context.Context {
	return context.WithValue(context.WithValue(parent, ownKey{c}, v), innermost{}, v)
}

// own returns this Capture's visit in a context, or nil.
func (c *Capture) own(ctx context.Context) *visit {
	v, _ := ctx.Value(ownKey{c}).(*visit)
	return v
}

// FromContext returns the visitor's newest tracking, and whether there is one.
// A test click is returned only if there is no real click. ctx is the context
// of a request behind [Capture.Handler], or a *gin.Context. With nested
// Captures, the innermost applies.
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

// All returns the visitor's trackings, one per offer: newest first, test clicks
// last.
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

// requestIn returns the request in the field Request of a framework's context,
// such as *gin.Context, which does not pass on the request's values.
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

// has returns the stored tracking for an offer or, if shown is set, the one in
// the context.
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

// settled reports whether t's offer is stored or t is spent: the landing URL
// then adds nothing.
func (v *visit) settled(t sparkloop.Tracking) bool {
	_, stored := v.has(t.Offer, false)
	return stored || v.knows(t)
}

// store replaces the stored tracking of t's offer with t, and returns the
// evicted offers. If there is no room, the oldest is evicted, which may be t
// itself. A click of this moment is never evicted.
func (v *visit) store(t sparkloop.Tracking, most int, now time.Time) (stored bool, evicted []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept, spent := insert(drop(slices.Clone(v.kept), t.Offer), t), v.spent
	for len(kept) > most || size(kept, spent) > maxCookie {
		last := len(kept) - 1
		if kept[last].Offer == t.Offer && !t.Test && !t.CapturedAt.Before(now) {
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

// trim drops what does not fit into the cookie, the oldest spent ones first.
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

// show adds a tracking to the context without storing it.
func (v *visit) show(t sparkloop.Tracking) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown = append(drop(v.shown, t.Offer), t)
}

// clear removes the trackings of the offers, or all if no offer is given.
func (v *visit) clear(offers []string, remember bool, now time.Time) {
	v.spend(func(t sparkloop.Tracking) bool { return len(offers) == 0 || slices.Contains(offers, t.Offer) }, remember, now)
}

// spend removes the trackings that pick selects. If remember is set, the cookie
// keeps them as spent; otherwise an empty cookie is deleted.
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

// count returns the number of stored trackings.
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

// insert adds t before the trackings that are not newer, test clicks last.
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
