// Package query finds the two parameters of a SparkLoop redirect in a raw URL
// query. The values agree with [net/url.ParseQuery]; a query that names
// neither parameter is passed over without an allocation.
package query

import (
	"net/url"
	"strings"
)

// The parameters that SparkLoop appends to a redirect URL.
const (
	OfferKey      = "offer"
	SubmissionKey = "submission"
)

// maxPairs is how many pairs url.ParseQuery takes before it refuses a query.
const maxPairs = 10000

// Params is what a query says about the two parameters.
type Params struct {
	// Offer and Submission are decoded and otherwise unchecked: text from a
	// stranger. Empty means missing or empty.
	Offer, Submission string

	// Malformed says that a pair under one of the two keys could not be
	// decoded, or that a key came with two different values.
	Malformed bool
}

// Scan reads the two parameters from a query without its question mark.
// Pairs under other keys are ignored, well-formed or not.
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
		// Most pairs are foreign, and most of those show it in the first byte.
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

// ours tells which of the two keys a raw key is: 0 for the offer's, 1 for the
// submission's, -1 for a foreign one. An escaped spelling counts.
func ours(raw string) int {
	// The shortest spelling of a key is the key, the longest escapes each byte.
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

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// Without is a query without the pairs under the two keys. What remains is
// byte for byte as it was.
func Without(rawQuery string) string {
	var kept []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if key, _, _ := strings.Cut(pair, "="); ours(key) < 0 {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}
