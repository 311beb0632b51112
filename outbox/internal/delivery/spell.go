package delivery

import "time"

// spellEvery is how often the beginning of a bad spell is logged at most.
const spellEvery = time.Minute

// Spell is a time in which something fails again and again. It says when to log
// its beginning and its end, so that a fault that comes and goes does not fill the
// log. Its zero value is ready to use, by one goroutine.
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
