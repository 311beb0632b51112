package sparklooptest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// submission is a click on an offer.
type submission struct {
	tracking  sparkloop.Tracking
	clicked   time.Time
	confirmed time.Time // zero if not confirmed
}

// lifetime is how long after the click a confirmation is accepted.
const lifetime = 45 * 24 * time.Hour

// AddOffer adds an offer as the newest, and returns it as the API shows it.
// Empty fields get defaults: an ID, the type Action, the status "active", the
// visibility "public", an address, the server's time. An invalid ID, or the ID
// of an existing offer, fails the test.
func (s *Server) AddOffer(o sparkloop.Offer) sparkloop.Offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.UUID == "" {
		o.UUID = fmt.Sprintf("offer_%08x", scatter(uint32(len(s.offers))))
	}
	if o.ConversionType == "" {
		o.ConversionType = sparkloop.ConversionAction
	}
	if o.Status == "" {
		o.Status = "active"
	}
	if o.Visibility == "" {
		o.Visibility = "public"
	}
	if o.RedirectURL == "" {
		o.RedirectURL = "https://example.com/welcome"
	}
	if o.CreatedAt.IsZero() {
		o.CreatedAt = s.now()
	}
	o.CreatedAt = o.CreatedAt.UTC().Truncate(time.Millisecond)
	if err := (sparkloop.Tracking{Offer: o.UUID, Submission: "s"}).Validate(); err != nil {
		s.fatalf("AddOffer: %v", err)
	}
	if s.offer(o.UUID) != nil {
		s.fatalf("AddOffer: there already is an offer %s", o.UUID)
	}
	s.offers = append(s.offers, o)
	return o
}

// Click adds a visitor's click on an offer; "" is the server's first offer.
// redirectURL is where SparkLoop sends the browser: landing with the two
// parameters added, or the offer's own address if landing is "". t is the
// tracking to confirm, with the server's time. The submission's ID is random.
// An unknown offer or an invalid address fails the test.
func (s *Server) Click(offer, landing string) (redirectURL string, t sparkloop.Tracking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if offer == "" {
		offer = s.offers[0].UUID
	}
	o := s.offer(offer)
	if o == nil {
		s.fatalf("Click: there is no offer %q", offer)
		return "", t
	}
	if landing == "" {
		landing = o.RedirectURL
	}
	u, err := url.Parse(landing)
	if err != nil {
		s.fatalf("Click: %v", err)
		return "", t
	}
	now := s.now()
	t = sparkloop.Tracking{Offer: offer, Submission: newSubmission(), CapturedAt: now.UTC().Truncate(time.Second)}
	s.add(&submission{tracking: t, clicked: now})
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "submission=" + t.Submission + "&offer=" + offer
	return u.String(), t
}

// newSubmission returns an ID that no other server has used, because a database
// may hold the IDs of earlier runs.
func newSubmission() string {
	var id [8]byte
	rand.Read(id[:]) // it never fails
	return "submission_" + hex.EncodeToString(id[:])
}

func (s *Server) add(sub *submission) {
	s.submissions[sub.tracking.Submission] = sub
	s.clicks = append(s.clicks, sub)
}

// scatter turns a counter into distinct numbers that look random.
func scatter(n uint32) uint32 { return (n + 1) * 0x9e3779b1 }

// Confirmed reports whether the conversion is confirmed.
func (s *Server) Confirmed(t sparkloop.Tracking) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmed(t)
}

func (s *Server) confirmed(t sparkloop.Tracking) bool {
	sub := s.submissions[t.Submission]
	return sub != nil && sub.tracking.Offer == t.Offer && !sub.confirmed.IsZero()
}

// WaitConfirmed returns nil once the conversion is confirmed. If the context
// ends first, it returns an error that matches the context's.
func (s *Server) WaitConfirmed(ctx context.Context, t sparkloop.Tracking) error {
	for {
		s.mu.Lock()
		confirmed, changed := s.confirmed(t), s.changed
		s.mu.Unlock()
		if confirmed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("sparklooptest: %s is not confirmed: %w", t.Key(), ctx.Err())
		}
	}
}

// Advance moves the server's clock forward: submissions age, and the rate
// limit's window passes. The client's clock is not changed.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// Request is a request that reached the server.
type Request struct {
	Time                time.Time // of the server
	Method, Path, Query string    // Path is escaped as on the wire
	Header              http.Header
	Body                []byte
	Status              int // of the answer; 0 if there was none
}

// maxRequests limits the recorded requests.
const maxRequests = 10_000

// Requests returns the last 10,000 requests that reached the server, oldest
// first. A request that is still being answered is not included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[max(0, len(s.requests)-maxRequests):])
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Time = s.now()
	if len(s.requests) >= 2*maxRequests {
		s.requests = slices.Clone(s.requests[maxRequests:])
	}
	s.requests = append(s.requests, r)
}

// now returns the server's time.
func (s *Server) now() time.Time { return time.Now().Add(s.ahead) }

func (s *Server) offer(id string) *sparkloop.Offer {
	for i := range s.offers {
		if s.offers[i].UUID == id {
			return &s.offers[i]
		}
	}
	return nil
}

// price formats an amount as the API does.
func price(u sparkloop.USD) string { return strings.Replace(u.String(), "$", "", 1) }
