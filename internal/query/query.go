// Package query reads the parameters of a SparkLoop redirect from a raw URL
// query. It also reads landing URLs mangled by mail programs, link wrappers and
// templates, if only one click is possible. A query without the parameters
// costs no allocation.
package query

import (
	"cmp"
	"slices"
	"strings"
)

// Parameters that SparkLoop appends to a redirect URL.
const (
	OfferKey      = "offer"
	SubmissionKey = "submission"
	testKey       = "test_mode"
)

const (
	// maxPairs is the number of pairs from which url.ParseQuery rejects a
	// query.
	maxPairs = 10000
	// maxDepth limits how often a query may be escaped as a whole.
	maxDepth = 2
)

// Landing is the click in a query.
type Landing struct {
	// Offer and Submission are valid IDs. One is "" if it is missing or
	// unreadable.
	Offer, Submission string
	// Test is true for test_mode=true.
	Test bool
	// Named is true if both names are in the query, whatever their values.
	Named bool
	// Problem is the reason why a value cannot be read, without the value. It
	// is "" if the values are only missing or empty.
	Problem string
}

// Read reads a query without its question mark. If offers is not nil, an offer ID
// for which it returns false is ignored.
//
// A query in the documented form is read as url.ParseQuery does. Otherwise:
//
//   - Names may be in any case. A second "?", and "&" as HTML or JSON escape it,
//     separate parameters. In the value of one of the two, any character that is
//     not part of an ID separates it from the other name and its "=". A query, or
//     the rest of a query, may be escaped.
//   - White space, invisible characters, brackets and quotes around an ID are
//     trimmed. After an ID, punctuation, a slash, and "#..." are trimmed too.
//   - Empty and malformed values are ignored if the name has a valid value. Two
//     different valid values are a problem.
func Read(rawQuery string, offers func(string) bool) Landing {
	if !MayRead(rawQuery) {
		return Landing{}
	}
	r := reader{offers: offers}
	r.query(rawQuery, 0)
	l := Landing{
		Named: r.offer.seen && r.submission.seen,
		Test:  strings.EqualFold(r.test.one(), "true"),
	}
	if r.pairs > maxPairs {
		l.Problem = "the query has more than 10000 parameters"
		return l
	}
	if p := Scan(rawQuery); !p.Malformed && ValidID(p.Offer) && ValidID(p.Submission) && r.allowed(p.Offer) {
		l.Offer, l.Submission = p.Offer, p.Submission
		return l
	}
	l.Offer, l.Submission = r.offer.one(), r.submission.one()
	switch {
	case len(r.offer.all) > 1:
		l.Problem = "the URL has two different offer ids"
	case len(r.submission.all) > 1:
		l.Problem = "the URL has two different submission ids"
	case l.Offer == "" && r.offer.problem == "", l.Submission == "" && r.submission.problem == "":
		// One ID is missing.
	case l.Offer == "":
		l.Problem = r.offer.problem
	case l.Submission == "":
		l.Problem = r.submission.problem
	}
	return l
}

// MayRead reports whether a query may have a submission. It is fast, and
// allocates nothing for nearly every query without one.
func MayRead(rawQuery string) bool {
	// The name's rarest letter finds the name in any case.
	for _, b := range [...]byte{'b', 'B'} {
		const before = len("su")
		for from := 0; ; {
			i := strings.IndexByte(rawQuery[from:], b)
			if i < 0 {
				break
			}
			from += i + 1
			start := from - 1 - before
			if start >= 0 && start+len(SubmissionKey) <= len(rawQuery) && strings.EqualFold(rawQuery[start:start+len(SubmissionKey)], SubmissionKey) {
				return true
			}
		}
	}
	return strings.IndexByte(rawQuery, '%') >= 0 && Scan(rawQuery).Submission != ""
}

// reader collects the values under the three names.
type reader struct {
	offers                  func(string) bool
	offer, submission, test values
	pairs                   int
}

// values are the values of one name.
type values struct {
	seen    bool
	problem string   // of the first malformed value
	all     []string // valid values, without duplicates
}

// one returns the only valid value, or "".
func (v *values) one() string {
	if len(v.all) != 1 {
		return ""
	}
	return v.all[0]
}

func (v *values) malformed(problem string) {
	if v.seen = true; v.problem == "" {
		v.problem = problem
	}
}

func (r *reader) allowed(offer string) bool { return r.offers == nil || r.offers(offer) }

// query reads a query, or an escaped part of it.
func (r *reader) query(raw string, depth int) {
	raw = Ampersands(raw)
	for raw != "" {
		pair := raw
		if i := strings.IndexAny(raw, "&?"); i < 0 {
			raw = ""
		} else {
			pair, raw = raw[:i], raw[i+1:]
		}
		if r.pairs++; r.pairs > maxPairs {
			return
		}
		r.pair(pair, depth)
	}
}

func (r *reader) pair(pair string, depth int) {
	key, value, ok := strings.Cut(pair, "=")
	key = unescaped(key)
	if !ok && depth < maxDepth && strings.ContainsAny(key, "=%") {
		r.query(key, depth+1)
		return
	}
	switch name(key) {
	case OfferKey:
		r.value(&r.offer, value, depth)
	case SubmissionKey:
		r.value(&r.submission, value, depth)
	case testKey:
		r.value(&r.test, value, depth)
	default:
		r.foreign(value)
	}
}

// foreign detects the two names in another parameter's value. They are not read,
// because the origin of the value is unknown. A value that is a path or a URL, such
// as that of next=, does not count.
func (r *reader) foreign(raw string) {
	text := Ampersands(unescaped(raw))
	_, rest, found := cutParameter(text)
	if !found || strings.ContainsAny(text, "/?") {
		return
	}
	var inner reader
	inner.query(rest, maxDepth-1)
	if inner.offer.seen && inner.submission.seen {
		const inside = "the two ids are in the value of another parameter"
		r.offer.malformed(inside)
		r.submission.malformed(inside)
	}
}

// value adds a value, and reads parameters that follow in it.
func (r *reader) value(to *values, raw string, depth int) {
	to.seen = true
	text := Ampersands(unescaped(raw))
	before, rest, found := cutParameter(text)
	if again := Ampersands(unescaped(text)); !found && again != text {
		before, rest, found = cutParameter(again) // escaped twice
	}
	if found {
		if text = before; depth < maxDepth && to != &r.test {
			r.query(rest, depth+1)
		}
	}
	id := trimmed(text)
	if !ValidID(id) {
		id = trimmed(unescaped(text)) // escaped twice
	}
	if id != text && name(id) != "" {
		id = text // a template's mark, such as {{offer}}, that was not replaced
	}
	switch {
	case text == "":
	case !ValidID(id) && to == &r.offer:
		to.malformed(Check(OfferKey, cmp.Or(id, text)))
	case !ValidID(id):
		to.malformed(Check(SubmissionKey, cmp.Or(id, text)))
	case to == &r.offer && !r.allowed(id):
	case !slices.Contains(to.all, id):
		to.all = append(to.all, id)
	}
}

// Without returns a query without the parameters that Read returns. The rest is
// unchanged, byte for byte, except an escaped "&". Read finds no click in the
// result.
func Without(rawQuery string) string {
	if p := Scan(rawQuery); !p.Malformed && ValidID(p.Offer) && ValidID(p.Submission) {
		// A page may have a parameter of its own named Offer.
		rest := without(rawQuery, func(pair string) bool { key, _, _ := strings.Cut(pair, "="); return ours(key) >= 0 })
		if left := Read(rest, nil); !left.Named && left.Submission == "" {
			return rest
		}
	}
	return without(Ampersands(rawQuery), func(pair string) bool { return mentions(pair, 0) })
}

// without drops the selected pairs, or the selected parts of a pair with a "?".
func without(rawQuery string, drop func(string) bool) string {
	var kept []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		parts := strings.Split(pair, "?")
		left := slices.DeleteFunc(slices.Clone(parts), drop)
		switch {
		case len(left) == len(parts):
			kept = append(kept, pair)
		case strings.Join(left, "") != "":
			kept = append(kept, strings.Join(left, "?"))
		}
	}
	return strings.Join(kept, "&")
}

// mentions reports whether a query has one of the two names.
func mentions(raw string, depth int) bool {
	for pair := range strings.FieldsFuncSeq(Ampersands(raw), func(r rune) bool { return r == '&' || r == '?' }) {
		key, _, ok := strings.Cut(pair, "=")
		key = unescaped(key)
		if n := name(key); n == OfferKey || n == SubmissionKey {
			return true
		}
		if !ok && depth < maxDepth && strings.ContainsAny(key, "=%") && mentions(key, depth+1) {
			return true
		}
	}
	return false
}
