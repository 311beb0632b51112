// Package endpoint finds, among the published forms of an endpoint, the one
// that the server knows, and remembers it.
package endpoint

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// searchEvery is how often the search may start again for a form that worked
// before and seems to be gone.
const searchEvery = time.Minute

// Form is one published form of an endpoint.
type Form struct {
	Base *url.URL
	Leaf string // the last segment; "" if the endpoint has but one spelling
}

// Verdict is what an answer says about the form that was asked.
type Verdict int

// The verdicts.
const (
	Open   Verdict = iota // nothing: an error, a refusal that any route gives
	Proven                // the server knows this form
	Absent                // the server does not know this route
)

// Finder finds the form of one endpoint. It is safe for concurrent use: one
// goroutine searches, the others wait for what it finds.
type Finder struct {
	forms []*Form
	base  *Base
	known atomic.Pointer[Form]

	mu       sync.Mutex
	running  *search
	searched time.Time // when the last search for a lost form began
}

// Base is shared by the finders of one API: what one of them proves, the
// others try first.
type Base struct{ proven atomic.Pointer[url.URL] }

// search is one pass over the forms; its result is read after done is closed.
type search struct {
	done  chan struct{}
	tried []*Form // all forms that were asked, if each of them was Absent
	open  bool    // it ended with an Open answer
}

// New returns a Finder for the forms, to be tried in that order.
func New(base *Base, forms ...*Form) *Finder { return &Finder{forms: forms, base: base} }

// Known returns the form that was proven, or nil.
func (f *Finder) Known() *Form { return f.known.Load() }

// Find asks one form after the other by calling try, until one of them is not
// Absent; the outcome of that call is then the caller's. absent is a known form
// that the caller has just seen absent, or nil.
//
// If every form is absent, Find returns those that were tried. The same comes
// back to those who waited meanwhile. A caller who lost a known form less than
// a minute after the last search for a lost one gets that form alone back. A
// context that ends while waiting for another's search is an error.
func (f *Finder) Find(ctx context.Context, absent *Form, try func(*Form) Verdict) ([]*Form, error) {
	for {
		f.mu.Lock()
		if known := f.Known(); known != nil && known != absent {
			f.mu.Unlock()
			if try(known) != Absent {
				return nil, nil
			}
			absent = known
			continue
		}
		if running := f.running; running != nil {
			f.mu.Unlock()
			select {
			case <-running.done:
			case <-ctx.Done():
				return nil, fmt.Errorf("waiting for another call to find the endpoint: %w", ctx.Err())
			}
			if running.tried != nil {
				return running.tried, nil
			}
			continue
		}
		if absent != nil && time.Since(f.searched) < searchEvery {
			f.mu.Unlock()
			return []*Form{absent}, nil
		}
		running := &search{done: make(chan struct{})}
		f.running = running
		if absent != nil {
			f.searched = time.Now()
		}
		f.mu.Unlock()
		f.search(running, absent, try)
		return running.tried, nil
	}
}

func (f *Finder) search(s *search, absent *Form, try func(*Form) Verdict) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running = nil
		if s.open {
			f.searched = time.Time{} // nothing was learnt: the next may search at once
		}
		close(s.done)
	}()
	var tried []*Form
	if absent != nil {
		tried = append(tried, absent)
	}
	for _, form := range f.order(absent) {
		if form == absent {
			continue
		}
		switch try(form) {
		case Proven:
			f.known.Store(form)
			f.base.proven.Store(form.Base)
			return
		case Open:
			s.open = true
			return
		}
		tried = append(tried, form)
	}
	s.tried = tried
}

// order is the forms, those of the proven base first; not when a form of that
// base has just been lost.
func (f *Finder) order(absent *Form) []*Form {
	base := f.base.proven.Load()
	if base == nil || absent != nil && absent.Base == base {
		return f.forms
	}
	ordered := make([]*Form, 0, len(f.forms))
	for _, form := range f.forms {
		if form.Base == base {
			ordered = append(ordered, form)
		}
	}
	for _, form := range f.forms {
		if form.Base != base {
			ordered = append(ordered, form)
		}
	}
	return ordered
}
