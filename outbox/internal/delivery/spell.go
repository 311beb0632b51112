package delivery

import "time"

// spellEvery is the shortest time between two logged beginnings of a spell.
const spellEvery = time.Minute

// Spell is a period of repeated failures. It decides when to log the beginning and
// the end, so that an intermittent fault does not fill the log. The zero value is
// ready to use, by one goroutine.
type Spell struct {
	said bool
	at   time.Time
}

// Fails notes a failure and reports whether to log it.
func (s *Spell) Fails() bool {
	if s.said || !s.at.IsZero() && time.Since(s.at) < spellEvery {
		return false
	}
	s.said, s.at = true, time.Now()
	return true
}

// Works notes a success and reports whether to log that the spell is over.
func (s *Spell) Works() bool {
	over := s.said
	s.said = false
	return over
}
