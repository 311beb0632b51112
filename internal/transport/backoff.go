package transport

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxSleep is the longest Retry-After for which a call waits itself.
	maxSleep = time.Minute
	// maxRetryAfter caps a longer Retry-After.
	maxRetryAfter = 24 * time.Hour

	// leastEpoch is the number from which Retry-After is a Unix time: a time in
	// 1973, or a wait of three years. leastMillis is the same in milliseconds.
	leastEpoch, leastMillis = 100_000_000, 100_000_000_000
)

// ceiling is lo doubled n times, at most hi.
func ceiling(lo, hi time.Duration, n int) time.Duration {
	if wait := math.Ldexp(float64(lo), n); wait < float64(hi) {
		return time.Duration(wait)
	}
	return hi
}

// backoff is the pause before attempt n+2, uniform in [lo/2, min(hi, lo x 2^n)]:
// clients that failed together do not retry together.
func backoff(lo, hi time.Duration, n int) time.Duration {
	low, high := lo/2, ceiling(lo, hi, n)
	return low + rand.N(max(high-low, 0)+1)
}

// RetryAfter reads the header of that name: seconds, also with a fraction,
// which is rounded up; a date in any of HTTP's three forms; or a date as a Unix
// time in seconds or milliseconds. A date counts from the server's own clock if
// the answer has a Date. The result is at most 24 h. It is 0 and false if the
// header is missing or malformed, or if the time is over.
func RetryAfter(h http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	seconds, isNumber := parseSeconds(value)
	at, err := http.ParseTime(value)
	switch {
	case isNumber && seconds < leastEpoch:
		wait := time.Duration(seconds) * time.Second
		return min(wait, maxRetryAfter), seconds > 0
	case isNumber && seconds >= leastMillis:
		at = time.UnixMilli(seconds)
	case isNumber:
		at = time.Unix(seconds, 0)
	case err != nil:
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	wait := min(max(at.Sub(now), 0), maxRetryAfter)
	return wait, wait > 0
}

// parseSeconds reads digits with an optional fraction, rounded up. A number beyond
// an int64 is the largest int64.
func parseSeconds(s string) (seconds int64, ok bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseInt("0"+whole, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	if strings.Trim(fraction, "0") != "" && seconds < math.MaxInt64 {
		seconds++
	}
	return seconds, true
}

// Streak counts the 429s in a row. Those of one burst count once: they were sent
// before the first 429 was seen. A Streak is shared like the limiter.
type Streak struct {
	any   atomic.Bool
	mu    sync.Mutex
	n     int
	since time.Time // when the last one was counted
}

// count adds a 429 to a request sent at that time, and returns the number before
// it.
func (s *Streak) count(sent time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == 0 || sent.After(s.since) {
		s.n++
		s.since = time.Now()
	}
	s.any.Store(true)
	return s.n - 1
}

// reset ends the row after another answer.
func (s *Streak) reset() {
	if !s.any.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n = 0
	s.any.Store(false)
}
