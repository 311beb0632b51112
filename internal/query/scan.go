package query

import (
	"net/url"
	"strings"
)

// Params are the two parameters in the documented form.
type Params struct {
	// Offer and Submission are decoded and not validated. They are "" if
	// missing or empty.
	Offer, Submission string

	// Malformed is true if a pair of the two keys cannot be decoded, or if a
	// key has two different values.
	Malformed bool
}

// Scan reads the two parameters from a query without its question mark. Pairs
// of other keys are ignored, also malformed ones. The values agree with
// [net/url.ParseQuery].
func Scan(rawQuery string) Params {
	var p Params
	var seen [2]bool
	for rest := rawQuery; rest != ""; {
		pair := rest
		if i := strings.IndexByte(rest, '&'); i < 0 {
			rest = ""
		} else {
			pair, rest = rest[:i], rest[i+1:]
		}
		// Fast path: most keys begin with another byte.
		if pair == "" || pair[0] != OfferKey[0] && pair[0] != SubmissionKey[0] && pair[0] != '%' {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		n := ours(key)
		if n < 0 {
			continue
		}
		// url.ParseQuery drops a pair that has a semicolon anywhere.
		value, err := unescape(value)
		if err != nil || strings.IndexByte(pair, ';') >= 0 {
			p.Malformed = true
			continue
		}
		into := &p.Offer
		if n == 1 {
			into = &p.Submission
		}
		if seen[n] && *into != value {
			p.Malformed = true
			continue
		}
		seen[n], *into = true, value
	}
	if (seen[0] || seen[1]) && strings.Count(rawQuery, "&") >= maxPairs {
		return Params{Malformed: true}
	}
	return p
}

// ours returns 0 for the raw key of the offer, 1 for that of the submission and
// -1 for any other key. It also finds an escaped key.
func ours(raw string) int {
	// The shortest spelling is the key itself, the longest escapes each byte.
	if len(raw) < len(OfferKey) || len(raw) > 3*len(SubmissionKey) {
		return -1
	}
	switch raw {
	case OfferKey:
		return 0
	case SubmissionKey:
		return 1
	}
	if strings.IndexByte(raw, '%') < 0 {
		return -1
	}
	switch key, _ := url.QueryUnescape(raw); key {
	case OfferKey:
		return 0
	case SubmissionKey:
		return 1
	}
	return -1
}
