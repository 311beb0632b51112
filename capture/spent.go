package capture

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// mark is a cleared submission in the cookie, "x.<hash>.<time>". It identifies
// the submission until that expires.
type mark struct {
	hash string // of the key, 11 characters
	unix int64  // when the mark expires
}

const (
	markPrefix = "x."
	hashLen    = 11
)

func markOf(t sparkloop.Tracking) mark {
	sum := sha256.Sum256([]byte(t.Key()))
	return mark{
		hash: base64.RawURLEncoding.EncodeToString(sum[:8]),
		unix: t.ExpiresAt().Unix(),
	}
}

func (m mark) encode() string { return markPrefix + m.hash + "." + strconv.FormatInt(m.unix, 36) }

// readMark reads a mark. A time beyond the life of any click is rejected.
func readMark(s string, now time.Time) (m mark, ok bool) {
	rest, ok := strings.CutPrefix(s, markPrefix)
	hash, until, cut := strings.Cut(rest, ".")
	if !ok || !cut || len(hash) != hashLen {
		return mark{}, false
	}
	if _, err := base64.RawURLEncoding.DecodeString(hash); err != nil {
		return mark{}, false
	}
	unix, err := strconv.ParseInt(until, 36, 64)
	m = mark{hash, unix}
	latest := sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: now.Add(clockSkew)}.ExpiresAt()
	return m, err == nil && m.encode() == s && m.lives(now) && !m.until().After(latest)
}

func (m mark) until() time.Time         { return time.Unix(m.unix, 0) }
func (m mark) lives(now time.Time) bool { return now.Before(m.until()) }
func (m mark) same(other mark) bool     { return m.hash == other.hash }

func isSpent(marks []mark, t sparkloop.Tracking) bool {
	return len(marks) > 0 && slices.ContainsFunc(marks, markOf(t).same)
}

// size returns the length of the cookie's value.
func size(kept []sparkloop.Tracking, spent []mark) int { return len(encode(kept, spent)) }

// encode returns the cookie's value.
func encode(kept []sparkloop.Tracking, spent []mark) string {
	parts := make([]string, 0, len(kept)+len(spent))
	for _, t := range kept {
		parts = append(parts, t.Encode())
	}
	for _, m := range spent {
		parts = append(parts, m.encode())
	}
	return strings.Join(parts, separator)
}
