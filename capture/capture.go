// Package capture keeps what a reader brings from SparkLoop, from the landing
// page to the purchase weeks later: middleware that takes the two ids from the
// redirect, keeps them in one cookie, and hands them to every handler.
//
//	keep, err := capture.New(capture.Options{})
//	...
//	http.ListenAndServe(addr, keep.Handler(mux))
//
// Behind it, a handler asks for what there is:
//
//	tracking, ok := capture.FromContext(r.Context())
//
// Copy the tracking to the user's row at signup, and to the order's row at the
// purchase: a cookie stays on one device, and it does not come along with
// another site's form (a payment's or a sign-in's callback).
//
// # The cookie
//
// It holds several offers, each with its submission and the time of the click,
// and nothing about the person. Scripts cannot read it. It lives for what is
// left of the 45 days in which SparkLoop takes a confirmation. A response that
// sets it is marked as private and not to be stored, whatever the handler says,
// so that no cache gives it to another visitor.
//
// A request that brings neither the parameters nor the cookie passes without an
// allocation, and its response is not touched.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/sparkloop-go/sparkloop"
)

// Policy says which click on an offer counts when there are several.
type Policy int

// FirstClick keeps the first click on an offer for as long as it lives, as
// SparkLoop's own script does. LastClick takes the latest one. Different offers
// never disturb each other.
const (
	FirstClick Policy = iota
	LastClick
)

// Options are the settings of a [Capture]. The zero value is a good one.
type Options struct {
	// CookieName is the cookie's name. Defaults to "sparkloop_t".
	CookieName string

	// Domain shares the cookie with subdomains: "example.com" for
	// www.example.com and app.example.com. Empty keeps it on the host that
	// sets it.
	Domain string

	// MaxOffers is how many offers the cookie holds; the oldest goes first.
	// The cookie never has more than 2 KB, which is room for about 30 offers
	// with ids of the usual length. Defaults to 5, at most 50.
	MaxOffers int

	// Policy says which click on the same offer counts. Defaults to FirstClick.
	Policy Policy

	// Enqueued reports whether a tracking is spent: its conversion is enqueued or
	// confirmed. It is called only when a new click meets a stored one of the same
	// offer, with the stored one. true lets the new click replace it, so that a
	// forgotten Clear hides no second sale. outbox.Enqueued(queue) is such a
	// function. nil means no.
	Enqueued func(ctx context.Context, t sparkloop.Tracking) bool

	// DefaultOffer is the offer of a redirect that carries only a submission.
	// Empty ignores such a redirect.
	DefaultOffer string

	// Offers, if set, are the only offers that are captured.
	Offers []string

	// Allow says whether the cookie may be set for this visitor: consent. If
	// it says no, nothing is stored, and the request's context still has the
	// tracking; see [Capture.Save] for a consent that comes later. nil means
	// yes.
	Allow func(*http.Request) bool

	// CleanURL sends the browser once to the same page without the two
	// parameters, so that they are in no bookmark and no Referer. Only pages
	// that a person opens are redirected, and only when the tracking is kept.
	// The middleware has to see the path as the browser sent it: put it outside
	// of http.StripPrefix.
	CleanURL bool

	// Insecure leaves out the cookie's Secure attribute, for a site on plain
	// http. On loopback hosts it is left out anyway.
	Insecure bool

	// OnCapture is called for each tracking that is newly stored, before the
	// handler runs. See [IsVisit] to count people.
	OnCapture func(*http.Request, sparkloop.Tracking)

	// OnMissed is called for each landing URL with both parameters and no
	// tracking: malformed ids, or an offer that is not one of Offers.
	OnMissed func(r *http.Request, reason error)

	// Logger gets a Warn for each landing URL that OnMissed is for, and once a
	// host for a cookie that browsers refuse, an Info for a click for which there
	// was no room, and a Debug for a URL with one parameter alone. Ids that were
	// not valid are never logged. Defaults to slog.Default().
	Logger *slog.Logger

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

const (
	defaultName      = "sparkloop_t"
	defaultMaxOffers = 5
	mostOffers       = 50
)

// Capture is the middleware. It is immutable and safe for concurrent use.
type Capture struct {
	opts     Options
	needle   string // how the cookie begins in a header
	refusals refusals
}

// New checks the options and returns the middleware. Its errors name the field.
func New(o Options) (*Capture, error) {
	if o.CookieName == "" {
		o.CookieName = defaultName
	}
	if o.MaxOffers == 0 {
		o.MaxOffers = defaultMaxOffers
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Domain = strings.ToLower(strings.TrimPrefix(o.Domain, "."))
	o.Offers = slices.Clone(o.Offers)
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return &Capture{opts: o, needle: o.CookieName + "="}, nil
}

func (o *Options) validate() error {
	if err := o.validateCookie(); err != nil {
		return err
	}
	if o.MaxOffers < 0 || o.MaxOffers > mostOffers {
		return fmt.Errorf("MaxOffers: %d is not between 1 and %d", o.MaxOffers, mostOffers)
	}
	if o.Policy != FirstClick && o.Policy != LastClick {
		return fmt.Errorf("Policy: %d is neither FirstClick nor LastClick", o.Policy)
	}
	if o.DefaultOffer != "" {
		if err := validOffer(o.DefaultOffer); err != nil {
			return fmt.Errorf("DefaultOffer: %w", err)
		}
		if !o.takes(o.DefaultOffer) {
			return errors.New("DefaultOffer: it is not one of Offers")
		}
	}
	for i, offer := range o.Offers {
		if err := validOffer(offer); err != nil {
			return fmt.Errorf("Offers[%d]: %w", i, err)
		}
	}
	return nil
}

func (o *Options) validateCookie() error {
	trial := http.Cookie{Name: o.CookieName, Value: "v", Domain: o.Domain}
	if trial.Valid() != nil && (&http.Cookie{Name: o.CookieName, Value: "v"}).Valid() != nil {
		return fmt.Errorf("CookieName: %q cannot be the name of a cookie", o.CookieName)
	}
	host := strings.HasPrefix(o.CookieName, "__Host-")
	switch {
	case strings.HasPrefix(o.CookieName, scriptSubmission):
		return errors.New("CookieName: sl_submission_ is for the cookies of SparkLoop's own script")
	case (host || strings.HasPrefix(o.CookieName, "__Secure-")) && o.Insecure:
		return fmt.Errorf("CookieName: browsers refuse %s without Secure, which Insecure leaves out", o.CookieName)
	case host && o.Domain != "":
		return fmt.Errorf("CookieName: browsers refuse %s with a Domain", o.CookieName)
	case trial.Valid() != nil || net.ParseIP(o.Domain) != nil || strings.HasSuffix(o.Domain, "."):
		return fmt.Errorf("Domain: %q is not a domain such as example.com", o.Domain)
	case o.Domain != "" && o.Domain != "localhost" && isSuffix(o.Domain):
		return fmt.Errorf("Domain: browsers refuse cookies for all of %q", o.Domain)
	}
	return nil
}

// isSuffix reports whether anybody can have a name under a domain, as co.uk and
// github.io.
func isSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

func validOffer(id string) error {
	return sparkloop.Tracking{Offer: id, Submission: "x"}.Validate()
}

// IsVisit reports whether a request is a person's visit to a page, as far as
// headers tell: a GET or POST that is no prefetch. HEAD, OPTIONS and prefetches
// are captured too, and OnCapture gets them: a browser shows a prefetched page
// without another request.
func IsVisit(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if purpose := strings.ToLower(r.Header.Get(name)); strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "preview") {
			return false
		}
	}
	return r.Method == http.MethodGet || r.Method == http.MethodPost
}

// takes says whether an offer is one of those to capture.
func (o *Options) takes(offer string) bool {
	return len(o.Offers) == 0 || slices.Contains(o.Offers, offer)
}

func (c *Capture) now() time.Time { return c.opts.Now().UTC().Truncate(time.Second) }
