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
		_, landing := query.Of(r.URL)
		if !landing && !c.hasCookie(r) || c.own(r.Context()) != nil {
			next.ServeHTTP(w, r) // nothing to do, or done by the same middleware further out
			return
		}
		c.serve(w, r, next, landing)
	})
}

// serve handles a request that brings something.
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
	defer out.commit() // a handler that wrote nothing, or panicked
	next.ServeHTTP(out.forClient(), r.WithContext(c.context(r.Context(), v)))
}

// land takes the tracking that a landing URL brings.
func (c *Capture) land(v *visit, r *http.Request, clicks []sparkloop.Tracking) sparkloop.Tracking {
	t, err := c.read(r)
	if err != nil {
		return sparkloop.Tracking{}
	}
	policy := c.opts.Policy
	if find(clicks, t.Offer) >= 0 {
		policy = FirstClick // the script's click wins, with this request as with the next
	}
	c.take(v, r, t, policy, c.allows(r))
	return t
}

// read reads the tracking in a landing URL, and tells of one that it misses.
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

// acceptable says why a tracking cannot be kept.
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

// testLife is how long a test click lives, here as with SparkLoop's script.
const testLife = 15 * time.Minute

func expires(t sparkloop.Tracking) time.Time {
	if t.Test {
		return t.CapturedAt.Add(testLife)
	}
	return t.ExpiresAt()
}

// clockSkew is how far in the future a capture may seem to be: another
// machine's clock.
const clockSkew = 24 * time.Hour

var (
	errForeignOffer = errors.New("the offer is not one of Options.Offers")
	errOutOfTime    = errors.New("the click is older than 45 days, or a day or more in the future")
	errTestOver     = errors.New("the test click is older than 15 minutes")
)

// take adds a click to the visit if it counts: to what is stored if that is
// allowed, to what this request's context has in any case.
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

// counts reports whether a click takes the place of what is there for its offer:
// never a spent one or the same submission again, never a test instead of a real
// one. A click that is enqueued already is spent.
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
		c.opts.Logger.LogAttrs(r.Context(), slog.LevelInfo, "capture: no room for a click: MaxOffers or 2 KB are reached", slog.String("offer", offer))
	}
	if stored && c.opts.OnCapture != nil {
		c.opts.OnCapture(r, t)
	}
}

// Save stores a tracking that the middleware did not, for example when consent
// is given later. The rules are those of the middleware, without Allow: a cleared
// submission and a later click on the same offer stay as they are, unless the
// policy or Enqueued says otherwise. A zero CapturedAt becomes now.
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
	return c.change(w, r, func(v *visit) { c.take(v, r, t, c.opts.Policy, true) })
}

// Clear drops the trackings of these offers, or all of them if none is named.
// Call it after a purchase was enqueued or confirmed. The cookie keeps the cleared
// submissions as spent until their 45 days are over: the same landing URL does not
// bring them back, and any other click on the offer counts. If Allow says no, the
// cookie keeps nothing: so Clear also withdraws a consent.
//
// Set the tracking in the user's row to NULL too. Like Save, Clear must be called
// before the response is begun; after that it has no effect.
func (c *Capture) Clear(w http.ResponseWriter, r *http.Request, offers ...string) {
	// Too late is no error here: the tracking then just stays.
	_ = c.change(w, r, func(v *visit) { v.clear(offers, c.allows(r), c.now()) })
}

// change changes the visit, and sees to it that the cookie follows: when the
// header is written if the middleware is around this handler, else at once.
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
		return errors.New("capture: save: the header has been sent")
	}
	change(v)
	return nil
}
