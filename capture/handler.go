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

// Handler captures the tracking in the URL. It calls next with a context that
// has the visitor's trackings. If there is neither a tracking nor a cookie,
// next gets the request and the writer unchanged.
func (c *Capture) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, landing := query.Of(r.URL)
		if !landing && !c.hasCookie(r) || c.own(r.Context()) != nil {
			next.ServeHTTP(w, r) // nothing to do, or already done by the same Capture
			return
		}
		c.serve(w, r, next, landing)
	})
}

// serve handles a request that has a landing URL or a cookie.
func (c *Capture) serve(w http.ResponseWriter, r *http.Request, next http.Handler, landing bool) {
	v := c.readVisit(r)
	clicks := c.scriptClicks(r)
	c.takeScript(v, r, clicks)
	var landed sparkloop.Tracking
	if landing {
		landed = c.land(v, r, clicks)
	}
	out := &writer{ResponseWriter: w, c: c, v: v, r: r}
	if c.opts.CleanURL && !landed.IsZero() && v.settled(landed) && isDocument(r) {
		out.Header().Set("Location", cleanURL(r.URL))
		out.Header().Set("Cache-Control", cacheControl)
		out.WriteHeader(http.StatusFound)
		return
	}
	if len(v.all()) == 0 && !v.changed {
		next.ServeHTTP(w, r)
		return
	}
	defer out.commit() // covers a handler that writes nothing or panics
	next.ServeHTTP(out.forClient(), r.WithContext(c.context(r.Context(), v)))
}

// land captures the tracking in the landing URL.
func (c *Capture) land(v *visit, r *http.Request, clicks []sparkloop.Tracking) sparkloop.Tracking {
	t, err := c.read(r)
	if err != nil {
		return sparkloop.Tracking{}
	}
	policy := c.opts.Policy
	if find(clicks, t.Offer) >= 0 {
		policy = FirstClick // the script's click wins, now and in later requests
	}
	c.take(v, r, t, policy, c.allows(r))
	return t
}

// read reads the tracking in a landing URL, and reports a missed one.
func (c *Capture) read(r *http.Request) (sparkloop.Tracking, error) {
	rawQuery, _ := query.Of(r.URL)
	l := query.Read(rawQuery, c.opts.takes)
	err := sparkloop.ErrNoTracking
	switch {
	case l.Problem != "":
		err = fmt.Errorf("%w: %s", sparkloop.ErrInvalidTracking, l.Problem)
	case l.Offer == "" && l.Submission != "":
		if any := query.Read(rawQuery, nil); any.Offer != "" || any.Problem != "" {
			err = errForeignOffer
		} else {
			l.Offer = c.opts.DefaultOffer
		}
	}
	if l.Offer != "" && l.Submission != "" {
		return sparkloop.Tracking{Offer: l.Offer, Submission: l.Submission, CapturedAt: c.now(), Test: l.Test}, nil
	}
	level := slog.LevelDebug
	if l.Named {
		level = slog.LevelWarn
		if c.opts.OnMissed != nil {
			c.opts.OnMissed(r, err)
		}
	}
	c.opts.Logger.LogAttrs(r.Context(), level, "capture: not captured", slog.String("reason", err.Error()))
	return sparkloop.Tracking{}, err
}

func (c *Capture) allows(r *http.Request) bool { return c.opts.Allow == nil || c.opts.Allow(r) }

// acceptable returns the reason why a tracking cannot be stored, or nil.
func (c *Capture) acceptable(t sparkloop.Tracking) error {
	if t.IsZero() {
		return sparkloop.ErrNoTracking
	}
	if err := t.Validate(); err != nil {
		return err
	}
	if !c.opts.takes(t.Offer) {
		return errForeignOffer
	}
	switch now := c.now(); {
	case !now.Before(t.ExpiresAt()), t.CapturedAt.After(now.Add(clockSkew)):
		return errOutOfTime
	case !now.Before(expires(t)):
		return errTestOver
	}
	return nil
}

// testLife is the lifetime of a test click, as in SparkLoop's script.
const testLife = 15 * time.Minute

func expires(t sparkloop.Tracking) time.Time {
	if t.Test {
		return t.CapturedAt.Add(testLife)
	}
	return t.ExpiresAt()
}

// clockSkew is how far CapturedAt may be in the future: clocks of machines
// differ.
const clockSkew = 24 * time.Hour

var (
	errForeignOffer = errors.New("the offer is not one of Options.Offers")
	errOutOfTime    = errors.New("the click is older than 45 days, or a day or more in the future")
	errTestOver     = errors.New("the test click is older than 15 minutes")
)

// take adds a click to the visit if it counts. A click that is not allowed is
// added only to this request's context.
func (c *Capture) take(v *visit, r *http.Request, t sparkloop.Tracking, policy Policy, allowed bool) {
	if !c.counts(v, r, t, policy, allowed) {
		return
	}
	if allowed {
		c.store(v, r, t)
		return
	}
	v.show(t)
}

// counts reports whether a click replaces the stored one of its offer. A spent
// click, the same submission, or a test instead of a real click never does. An
// already enqueued click becomes spent.
func (c *Capture) counts(v *visit, r *http.Request, t sparkloop.Tracking, policy Policy, allowed bool) bool {
	if v.knows(t) {
		return false
	}
	old, found := v.has(t.Offer, !allowed)
	if !found {
		return true
	}
	switch {
	case old.Test || t.Test:
		return old.Test && (!t.Test || old.Submission != t.Submission)
	case old.Submission == t.Submission:
		return false
	case c.opts.Enqueued != nil && c.opts.Enqueued(r.Context(), old):
		v.spend(func(other sparkloop.Tracking) bool { return other.Key() == old.Key() }, allowed, c.now())
		return true
	}
	return policy == LastClick && !t.CapturedAt.Before(old.CapturedAt)
}

func (c *Capture) store(v *visit, r *http.Request, t sparkloop.Tracking) {
	stored, evicted := v.store(t, c.opts.MaxOffers, c.now())
	if !stored {
		evicted = []string{t.Offer}
	}
	for _, offer := range evicted {
		c.opts.Logger.LogAttrs(r.Context(), slog.LevelInfo, "capture: click dropped: the cookie is full (MaxOffers, or 2 KB)", slog.String("offer", offer))
	}
	if stored && c.opts.OnCapture != nil {
		c.opts.OnCapture(r, t)
	}
}

// Save stores a tracking, for example when the visitor consents after the
// landing page. Save follows the rules of the middleware, except Allow: a
// cleared submission is not stored again, and Options.Policy decides between
// two clicks on one offer. A zero CapturedAt is set to now.
//
// Save returns an error if the tracking is invalid, too old, or of an offer
// that is not in Options.Offers. Call Save before the response is started, and
// do not set Cache-Control afterwards. A later call has no effect. It returns
// an error if the request had a tracking; the responses of other requests are
// not watched.
func (c *Capture) Save(w http.ResponseWriter, r *http.Request, t sparkloop.Tracking) error {
	if t.CapturedAt.IsZero() {
		t.CapturedAt = c.now()
	}
	t.CapturedAt = t.CapturedAt.UTC().Truncate(time.Second)
	if err := c.acceptable(t); err != nil {
		return fmt.Errorf("capture: save: %w", err)
	}
	return c.change(w, r, func(v *visit) { c.take(v, r, t, c.opts.Policy, true) })
}

// Clear removes the trackings of these offers, or of all offers if none is
// given. Call it after a purchase is enqueued or confirmed. The cookie
// remembers the removed submissions as spent for the rest of their 45 days: the
// same landing URL is not captured again, but any other click on the offer is.
// If Allow returns false, the cookie is emptied, so Clear also withdraws a
// consent.
//
// Also set the tracking in the user's row to NULL. Call Clear before the
// response is started; a later call has no effect.
func (c *Capture) Clear(w http.ResponseWriter, r *http.Request, offers ...string) {
	// A late Clear is no error: the tracking stays.
	_ = c.change(w, r, func(v *visit) { v.clear(offers, c.allows(r), c.now()) })
}

// change changes the visit. The middleware writes the cookie with the header;
// without the middleware change writes it at once.
func (c *Capture) change(w http.ResponseWriter, r *http.Request, change func(*visit)) error {
	v := c.own(r.Context())
	if v == nil {
		v = c.readVisit(r)
		if value, ok := c.pending(w.Header()); ok {
			v.kept, v.spent, v.changed = nil, nil, true
			c.readCookie(v, value)
		}
		change(v)
		c.setCookie(w.Header(), r, v)
		return nil
	}
	if v.sent() {
		return errors.New("capture: save: the response header was already sent")
	}
	change(v)
	return nil
}
