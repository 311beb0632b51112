package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/query"
)

// Handler captures, and calls next with a context that has what was captured,
// now or before.
func (c *Capture) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		params := query.Scan(r.URL.RawQuery)
		if params == (query.Params{}) && !c.hasCookie(r) || fromContext(r.Context()) != nil {
			next.ServeHTTP(w, r) // nothing to do, or done by the same middleware further out
			return
		}
		c.serve(w, r, next, params)
	})
}

// serve handles a request that brings something.
func (c *Capture) serve(w http.ResponseWriter, r *http.Request, next http.Handler, params query.Params) {
	v := c.readVisit(r)
	landed, err := c.landed(params)
	switch {
	case err == nil:
		c.take(v, r, landed)
	case !errors.Is(err, sparkloop.ErrNoTracking) || params != (query.Params{}):
		c.debug(r, err)
	}
	if len(v.all()) == 0 {
		next.ServeHTTP(w, r)
		return
	}
	out := &writer{ResponseWriter: w, c: c, v: v, r: r}
	if err == nil && c.opts.CleanURL && isDocument(r) && v.keeps(landed.Offer) {
		out.Header().Set("Location", cleanURL(r.URL))
		out.Header().Set("Cache-Control", cacheControl)
		out.WriteHeader(http.StatusFound)
		return
	}
	next.ServeHTTP(out, r.WithContext(v.context(r.Context())))
	out.commit() // a handler that wrote nothing
}

// landed is the tracking that a landing URL brings.
func (c *Capture) landed(p query.Params) (sparkloop.Tracking, error) {
	if p.Offer == "" && p.Submission != "" && !p.Malformed {
		p.Offer = c.opts.DefaultOffer
	}
	switch {
	case p.Malformed:
		return sparkloop.Tracking{}, fmt.Errorf("%w: a parameter is badly escaped or has two different values", sparkloop.ErrInvalidTracking)
	case p.Offer == "" || p.Submission == "":
		return sparkloop.Tracking{}, sparkloop.ErrNoTracking
	}
	t := sparkloop.Tracking{Offer: p.Offer, Submission: p.Submission, CapturedAt: c.now()}
	return t, c.acceptable(t)
}

// acceptable says why a tracking cannot be kept.
func (c *Capture) acceptable(t sparkloop.Tracking) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if !c.opts.takes(t.Offer) {
		return errForeignOffer
	}
	if now := c.now(); !now.Before(t.ExpiresAt()) || t.CapturedAt.After(now.Add(clockSkew)) {
		return errOutOfTime
	}
	return nil
}

// clockSkew is how far in the future a capture may seem to be: another
// machine's clock.
const clockSkew = 24 * time.Hour

var (
	errForeignOffer = errors.New("the offer is not one of Options.Offers")
	errOutOfTime    = errors.New("the click is older than 45 days, or a day or more in the future")
)

// take adds a tracking to the visit: to what is stored if that is allowed, to
// what this request's context has in any case.
func (c *Capture) take(v *visit, r *http.Request, t sparkloop.Tracking) {
	if c.opts.Allow != nil && !c.opts.Allow(r) {
		v.show(t, c.opts.Policy)
		return
	}
	c.store(v, r, t)
}

func (c *Capture) store(v *visit, r *http.Request, t sparkloop.Tracking) {
	if v.store(t, c.opts.Policy, c.opts.MaxOffers) && c.opts.OnCapture != nil {
		c.opts.OnCapture(r, t)
	}
}

// Save stores a tracking that the middleware did not, for example when consent
// is given later. The rules are those of the middleware, without Allow: an
// earlier click on the same offer stays, unless the policy says otherwise. A
// zero CapturedAt becomes now.
//
// A tracking that is not valid, too old, or of an offer that is not to be
// captured is an error. Call Save before the response is begun, and do not set
// Cache-Control after it: later it has no effect, which is an error only if the
// request brought a tracking, for others are not watched.
func (c *Capture) Save(w http.ResponseWriter, r *http.Request, t sparkloop.Tracking) error {
	if t.CapturedAt.IsZero() {
		t.CapturedAt = c.now()
	}
	t.CapturedAt = t.CapturedAt.UTC().Truncate(time.Second)
	if err := c.acceptable(t); err != nil {
		return fmt.Errorf("capture: save: %w", err)
	}
	return c.change(w, r, func(v *visit) { c.store(v, r, t) })
}

// Clear drops the trackings of these offers, or all of them if none is named.
// Call it after a confirmed purchase, so that the next click on the offer
// counts again; a user's row that keeps the tracking wants the same. Like Save,
// it must be called before the response is begun; after that it has no effect.
func (c *Capture) Clear(w http.ResponseWriter, r *http.Request, offers ...string) {
	// Too late is no error here: the tracking then just stays.
	_ = c.change(w, r, func(v *visit) { v.drop(offers) })
}

// change changes the visit, and sees to it that the cookie follows: when the
// header is written if the middleware is around this handler, else at once.
func (c *Capture) change(w http.ResponseWriter, r *http.Request, change func(*visit)) error {
	v := fromContext(r.Context())
	if v == nil {
		v = c.readVisit(r)
		if value, ok := c.pending(w.Header()); ok {
			v.kept, v.changed = nil, true
			c.readCookie(v, value)
		}
		change(v)
		c.setCookie(w.Header(), r, v)
		return nil
	}
	if v.sent() {
		return errors.New("capture: save: the header has been sent")
	}
	change(v)
	return nil
}

func (c *Capture) debug(r *http.Request, err error) {
	if c.opts.Logger != nil {
		c.opts.Logger.LogAttrs(r.Context(), slog.LevelDebug, "capture: not captured", slog.String("reason", err.Error()))
	}
}
