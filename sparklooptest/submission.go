package sparklooptest

import (
	"slices"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// Submission is a click and the time of its confirmation.
type Submission struct {
	Tracking    sparkloop.Tracking // CapturedAt is the time of the click
	ConfirmedAt time.Time          // zero if not confirmed
}

// AddSubmission adds a click with an ID of your choice, for example from a file
// or from another server. A zero CapturedAt is set to the server's time. An
// invalid tracking, an existing submission or an unknown offer fails the test.
func (s *Server) AddSubmission(sub Submission) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := sub.Tracking
	switch err := t.Validate(); {
	case t.IsZero():
		s.fatalf("AddSubmission: %v", sparkloop.ErrNoTracking)
		return
	case err != nil:
		s.fatalf("AddSubmission: %v", err)
		return
	case s.offer(t.Offer) == nil:
		s.fatalf("AddSubmission: there is no offer %q", t.Offer)
		return
	case s.submissions[t.Submission] != nil:
		s.fatalf("AddSubmission: there already is a submission %s", t.Submission)
		return
	}
	if t.CapturedAt.IsZero() {
		t.CapturedAt = s.now().UTC().Truncate(time.Second)
	}
	s.add(&submission{tracking: t, clicked: t.CapturedAt, confirmed: sub.ConfirmedAt})
}

// Submissions returns all clicks in the order in which they were added.
func (s *Server) Submissions() []Submission {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Submission, len(s.clicks))
	for i, c := range s.clicks {
		all[i] = Submission{Tracking: c.tracking, ConfirmedAt: c.confirmed}
	}
	return all
}

// Offers returns all offers in the order in which they were added. It sends no
// request, so faults and the rate limit do not apply.
func (s *Server) Offers() []sparkloop.Offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.offers)
}
