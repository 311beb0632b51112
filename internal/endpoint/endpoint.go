// Package endpoint finds the published form of an endpoint that the server
// accepts, and remembers it.
package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// searchEvery is the pause after a search that found nothing, or that was
	// for a lost form.
	searchEvery = time.Minute
	// stuckTimes is the number of consecutive searches that may end Unclear at
	// one form. After that the other forms are tried first, because an outage
	// of the API looks the same.
	stuckTimes = 4
	// patience is how long a call waits for another call's search.
	patience = 2 * time.Second
)

// Form is one published form of an endpoint.
type Form struct {
	Base *url.URL
	Leaf string // last path segment; "" if the endpoint has only one spelling
}

// Verdict is what an answer proves about the form of its request.
type Verdict int

// Verdicts.
const (
	Unclear Verdict = iota // no answer, or a temporary failure such as a 503
	Proven                 // the server accepts this form
	Absent                 // the server has no such route
	Other                  // proves nothing: a page, a redirect, a 401
)

// Finder finds the form of one endpoint. It is safe for concurrent use: one
// goroutine searches, the others wait for its result.
type Finder struct {
	forms []*Form
	base  *Base
	known atomic.Pointer[Form]

	mu       sync.Mutex
	running  *search
	searched time.Time // end of the last search that found nothing, or that was for a lost form
	instead  *Form     // the form for calls in the minute after a search that found nothing
	absent   []*Form   // all forms, if that search found each Absent
	stuck    *Form     // the form at which the last search ended Unclear
	times    int       // consecutive searches that ended there
	last     *Form     // a form at which too many ended: it is tried last
}

// Base is shared by the finders of one API: a base proven by one of them is
// tried first by the others.
type Base struct{ proven atomic.Pointer[url.URL] }

// search is one pass over the forms.
type search struct {
	done chan struct{}
	form atomic.Pointer[Form] // being tried
}

// New returns a Finder that tries the forms in the given order.
func New(base *Base, forms ...*Form) *Finder { return &Finder{forms: forms, base: base} }

// Known returns the proven form, or nil.
func (f *Finder) Known() *Form { return f.known.Load() }

// Find calls try with one form after another until a form is Proven or an
// answer is Unclear. The caller uses the outcome of its last try. lost is a
// known form that was Absent in the caller's own request, or nil.
//
// One goroutine searches. Another waits for the result for two seconds, then
// tries the form that is being tried. After a search that proved nothing, no
// search begins for a minute: each call tries the first form that was not
// Absent.
//
// Find returns the forms if all of them were Absent. It returns an error if ctx
// ends while another goroutine searches.
func (f *Finder) Find(ctx context.Context, lost *Form, try func(*Form) Verdict) (absent []*Form, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		f.mu.Lock()
		if known := f.Known(); known != nil && known != lost {
			f.mu.Unlock()
			if try(known) != Absent {
				return nil, nil
			}
			lost = known
			continue
		}
		if running := f.running; running != nil {
			f.mu.Unlock()
			select {
			case <-running.done:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("waiting for another call to find the endpoint: %w", ctx.Err())
			case <-timer.C:
			}
			f.tryOne(running.form.Load(), try)
			return nil, nil
		}
		if time.Since(f.searched) < searchEvery {
			instead, absent := f.instead, f.absent
			f.mu.Unlock()
			if lost != nil {
				return []*Form{lost}, nil
			}
			if f.tryOne(instead, try) != Absent {
				return nil, nil
			}
			return absent, nil
		}
		order := f.order(lost)
		if len(order) == 0 {
			f.mu.Unlock()
			return []*Form{lost}, nil
		}
		running := &search{done: make(chan struct{})}
		running.form.Store(order[0])
		f.running = running
		f.mu.Unlock()
		return f.search(running, order, lost, try), nil
	}
}

// tryOne tries a form outside of a search.
func (f *Finder) tryOne(form *Form, try func(*Form) Verdict) Verdict {
	verdict := try(form)
	if verdict == Proven {
		f.prove(form)
	}
	return verdict
}

// search tries the forms in the given order. It returns the forms if all of
// them, and the lost form, were Absent.
func (f *Finder) search(s *search, order []*Form, lost *Form, try func(*Form) Verdict) (absent []*Form) {
	var stuck, instead, other *Form
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running = nil
		if stuck != f.stuck {
			f.stuck, f.times = stuck, 0
		}
		if f.times++; stuck != nil && f.times >= stuckTimes {
			f.last = stuck
		}
		if instead != nil {
			f.instead, f.absent = instead, absent
		}
		if instead != nil || lost != nil && stuck == nil {
			f.searched = time.Now()
		}
		close(s.done)
	}()
	var tried []*Form
	if lost != nil {
		tried = append(tried, lost)
	}
	for _, form := range order {
		s.form.Store(form)
		switch try(form) {
		case Proven:
			f.prove(form)
			return nil
		case Unclear:
			stuck = form
			return nil
		case Other:
			other = cmp.Or(other, form)
		case Absent:
		}
		if known := f.Known(); known != nil && known != lost {
			try(known) // proven by another call meanwhile
			return nil
		}
		tried = append(tried, form)
	}
	if instead = other; other != nil {
		return nil
	}
	instead = order[0]
	return tried
}

func (f *Finder) prove(form *Form) {
	f.known.Store(form)
	f.base.proven.Store(form.Base)
}

// order returns the forms without the lost one. Forms of the proven base come
// first, unless the lost form has that base. A form at which searches got stuck
// comes last.
func (f *Finder) order(lost *Form) []*Form {
	first := f.base.proven.Load()
	if lost != nil && lost.Base == first {
		first = nil
	}
	var ordered []*Form
	for _, rank := range []func(*Form) bool{
		func(form *Form) bool { return form != f.last && form.Base == first },
		func(form *Form) bool { return form != f.last && form.Base != first },
		func(form *Form) bool { return form == f.last },
	} {
		for _, form := range f.forms {
			if form != lost && rank(form) {
				ordered = append(ordered, form)
			}
		}
	}
	return ordered
}
