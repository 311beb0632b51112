// Package capture keeps a visitor's SparkLoop IDs from the landing page to the
// purchase, perhaps weeks later. It is middleware: it reads the two IDs in the
// landing URL, stores them in one cookie, and adds them to the context of every
// request:
//
//	keep, err := capture.New(capture.Options{})
//	...
//	http.ListenAndServe(addr, keep.Handler(mux))
//
// A handler behind it reads the tracking:
//
//	tracking, ok := capture.FromContext(r.Context())
//
// Copy the tracking to the user's row at signup, and to the order's row at the
// purchase. A cookie stays on one device, and browsers omit it on cross-site
// POSTs, such as the callback of a payment or a sign-in.
//
// # The cookie
//
// The cookie holds several offers, each with its submission and the time of the
// click, and nothing about the person. Scripts cannot read it. It expires with
// its newest click, 45 days after the click: SparkLoop accepts no confirmation
// later. A response that sets the cookie always has "Cache-Control: private,
// no-store", also if the handler sets another value, so that no cache shares
// the cookie.
//
// A request without the parameters and without the cookie costs no allocation,
// and its response is not changed.
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

// Policy decides which of several clicks on one offer counts.
type Policy int

// FirstClick keeps the first click on an offer until it expires, as SparkLoop's
// own script does. LastClick keeps the latest click. Clicks on different offers
// are independent.
const (
	FirstClick Policy = iota
	LastClick
)

// Options are the settings of a [Capture]. The zero value is ready to use.
type Options struct {
	// CookieName is the cookie's name. Default: "sparkloop_t".
	CookieName string

	// Domain shares the cookie with subdomains: "example.com" for
	// www.example.com and app.example.com. Default: empty, only the host that
	// sets the cookie.
	Domain string

	// MaxOffers is the number of offers in the cookie. Default: 5. Limit: 50.
	// If the cookie is full, the oldest click is dropped. The cookie's value
	// has at most 2 KB, enough for about 30 offers with IDs of the usual
	// length.
	MaxOffers int

	// Policy decides which click on the same offer counts. Default: FirstClick.
	Policy Policy

	// Enqueued reports whether the conversion of a stored tracking is already
	// enqueued or confirmed. A new click on the same offer then replaces the
	// stored click, also if Clear was not called. It is called only when a new
	// click meets a stored click of the same offer. Use outbox.Enqueued(queue).
	// Default: nil, no tracking is enqueued.
	Enqueued func(ctx context.Context, t sparkloop.Tracking) bool

	// DefaultOffer is the offer of a landing URL that has only a submission.
	// Default: empty, such a URL is ignored.
	DefaultOffer string

	// Offers lists the offers to capture. Default: empty, all offers.
	Offers []string

	// Allow reports whether the visitor consents to the cookie. Without consent
	// nothing is stored, but the context of this request still has the
	// tracking. To store it after a later consent, use [Capture.Save]. Default:
	// nil, always allowed.
	Allow func(*http.Request) bool

	// CleanURL redirects the browser once to the same page without the two
	// parameters, which keeps them out of bookmarks and Referer headers. Only
	// page loads are redirected, and only if the tracking is stored. The
	// middleware needs the path that the browser sent: put it outside of
	// http.StripPrefix.
	CleanURL bool

	// Insecure omits the cookie's Secure attribute, for a site on plain http.
	// On loopback hosts the attribute is always omitted.
	Insecure bool

	// OnCapture is called for each tracking that is newly stored, before the
	// handler runs. Use [IsVisit] to count people.
	OnCapture func(*http.Request, sparkloop.Tracking)

	// OnMissed is called for each landing URL that has both parameters and is
	// not captured: an ID is malformed, or the offer is not in Offers.
	OnMissed func(r *http.Request, reason error)

	// Logger receives a Warn for each landing URL passed to OnMissed, and one
	// per host for a cookie that browsers refuse. It receives an Info for a
	// click that does not fit into the cookie, and a Debug for a URL with only
	// one parameter. Malformed IDs are never logged. Default: slog.Default().
	Logger *slog.Logger

	// Now is the clock. Default: time.Now.
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
	needle   string // the cookie's name and "="
	refusals refusals
}

// New returns the middleware. It returns an error that names the field if an
// option is invalid.
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
	if o.MaxOffers < 1 || o.MaxOffers > mostOffers {
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
			return errors.New("DefaultOffer: not one of Offers")
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
		return fmt.Errorf("CookieName: %q is not a valid cookie name", o.CookieName)
	}
	host := strings.HasPrefix(o.CookieName, "__Host-")
	switch {
	case strings.HasPrefix(o.CookieName, scriptSubmission):
		return errors.New("CookieName: the prefix sl_submission_ is reserved for SparkLoop's own script")
	case (host || strings.HasPrefix(o.CookieName, "__Secure-")) && o.Insecure:
		return fmt.Errorf("CookieName: browsers refuse %s without Secure, which Insecure leaves out", o.CookieName)
	case host && o.Domain != "":
		return fmt.Errorf("CookieName: browsers refuse %s with a Domain", o.CookieName)
	case trial.Valid() != nil || net.ParseIP(o.Domain) != nil || strings.HasSuffix(o.Domain, "."):
		return fmt.Errorf("Domain: %q is not a domain like example.com", o.Domain)
	case o.Domain != "" && o.Domain != "localhost" && isSuffix(o.Domain):
		return fmt.Errorf("Domain: browsers refuse cookies for all of %q", o.Domain)
	}
	return nil
}

// isSuffix reports whether a domain is a public suffix, such as co.uk or
// github.io.
func isSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

func validOffer(id string) error {
	return sparkloop.Tracking{Offer: id, Submission: "x"}.Validate()
}

// IsVisit reports whether a request looks like a person's visit to a page: a
// GET or POST that is no prefetch. The middleware also captures from HEAD,
// OPTIONS and prefetch requests, and calls OnCapture for them: a browser may
// show a prefetched page without another request.
func IsVisit(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if purpose := strings.ToLower(r.Header.Get(name)); strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "preview") {
			return false
		}
	}
	return r.Method == http.MethodGet || r.Method == http.MethodPost
}

// takes reports whether an offer is to be captured.
func (o *Options) takes(offer string) bool {
	return len(o.Offers) == 0 || slices.Contains(o.Offers, offer)
}

func (c *Capture) now() time.Time { return c.opts.Now().UTC().Truncate(time.Second) }
