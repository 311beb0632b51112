package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/redact"
)

// With two accounts on one database, SparkLoop refuses each account's conversions
// for the other as not found. Two keys may also belong to one account, so a second
// key proves nothing. The log warns of a process with a new key when it starts. If
// a conversion is not found while another key is in use, its reason mentions it.

const (
	keysMax   = 8         // stored keys; beyond it the longest unused is deleted
	keyEvery  = time.Hour // interval of noting successes of a key
	keyInUse  = 7 * day   // time after a success
	otherKeys = "another API key was in use on this queue in the last 7 days: if it is of another account, give each account a database"
)

// keyMark returns the mark of this process's key, see redact.Mark.
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

// otherAccount reports whether a refused conversion may belong to another account:
// it is not found, and another key was in use lately.
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
