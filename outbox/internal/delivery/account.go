package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/redact"
)

// Two accounts on one database refuse each other's conversions as not found. Two
// keys may also be of one account, so another key alone proves nothing. A process
// with another key than before is logged when it starts, and a conversion that is
// not found while another key is in use says so in its reason.

const (
	keysMax   = 8         // that are remembered; beyond it the one unused longest is forgotten
	keyEvery  = time.Hour // how often the success of a key is noted
	keyInUse  = 7 * day   // after a success
	otherKeys = "another API key was in use on this queue in the last 7 days: if it is of another account, give each account a database"
)

// keyMark tells the key of this process from others, see redact.Mark.
func (p *Policy) keyMark(s *state) string { return redact.Mark(p.client, s.Salt) }

// keyWorks notes a success with the key of this process.
func (p *Policy) keyWorks(ctx context.Context, now time.Time) {
	last := p.keyNoted.Load()
	if away(now, time.UnixMilli(last)) < keyEvery || !p.keyNoted.CompareAndSwap(last, now.UnixMilli()) {
		return
	}
	err := p.gate.update(ctx, func(s *state, now time.Time) bool {
		if s.Salt == "" {
			s.Salt, s.Keys = rand.Text(), make(map[string]int64)
		}
		s.Keys[p.keyMark(s)] = now.UnixMilli()
		for len(s.Keys) > keysMax {
			oldest := ""
			for k, at := range s.Keys {
				if oldest == "" || at < s.Keys[oldest] {
					oldest = k
				}
			}
			delete(s.Keys, oldest)
		}
		return true
	})
	if err != nil {
		p.keyNoted.Store(last)
	}
}

// otherAccount reports whether a refusal may be because the conversion is of
// another account: it is not found, and another key was in use lately.
func (p *Policy) otherAccount(ctx context.Context, err error) bool {
	if !errors.Is(err, sparkloop.ErrOfferNotFound) && !errors.Is(err, sparkloop.ErrSubmissionNotFound) {
		return false
	}
	s, now, err := p.gate.load(ctx)
	if err != nil {
		return false
	}
	own := p.keyMark(&s)
	for k, at := range s.Keys {
		if k != own && away(now, time.UnixMilli(at)) < keyInUse {
			return true
		}
	}
	return false
}
