package query

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// longestID is the maximum length of an ID.
const longestID = 128

// ValidID reports whether a text is a valid ID: 1 to 128 letters, digits,
// underscores and hyphens.
func ValidID(s string) bool {
	if s == "" || len(s) > longestID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Check returns the problem with an ID, or "". The text names the kind, and
// does not contain the ID.
func Check(kind, id string) string {
	switch {
	case ValidID(id):
		return ""
	case id == "":
		return "the " + kind + " id is empty"
	case len(id) > longestID:
		return "the " + kind + " id has " + strconv.Itoa(len(id)) + " characters, at most " + strconv.Itoa(longestID) + " are allowed"
	}
	return "the " + kind + " id has characters other than letters, digits, _ and -"
}

// parameters are the names that are read.
var parameters = [...]string{OfferKey, SubmissionKey, testKey}

// name returns the parameter that a decoded key names, or "". An HTML entity
// before the name is the rest of a mangled "&".
func name(key string) string {
	for {
		key = strings.TrimFunc(key, around)
		entity, rest, found := strings.Cut(key, ";")
		if !found || !ValidID(strings.TrimPrefix(entity, "#")) {
			break
		}
		key = rest
	}
	for _, known := range parameters {
		if strings.EqualFold(key, known) || strings.EqualFold(key, "amp"+known) {
			return known
		}
	}
	return ""
}

// cutParameter cuts a decoded value before a parameter that follows in it: at "&"
// or "?", or at one of the names with its "=" if something else separates them.
func cutParameter(text string) (before, rest string, found bool) {
	if i := strings.IndexAny(text, "&?"); i >= 0 {
		before, rest, found = text[:i], text[i+1:], true
	} else {
		before = text
	}
	for i := range len(before) {
		if before[i] != '=' {
			continue
		}
		for _, known := range parameters {
			at := i - len(known)
			if at > 0 && strings.EqualFold(before[at:i], known) && !ValidID(before[at-1:at]) {
				return text[:at], text[at:], true
			}
		}
	}
	return before, rest, found
}

// trimmed removes what mail programs and people put around an ID. A path that
// leads upwards is not removed.
func trimmed(s string) string {
	s, _, _ = strings.Cut(s, "#")
	id := strings.TrimRightFunc(s, behind)
	if rest := s[len(id):]; strings.Contains(rest, "/..") || strings.Contains(rest, `\..`) {
		return s
	}
	return strings.TrimLeftFunc(id, around)
}

// around reports whether a character may surround an ID. Cf are the invisible
// characters: zero width, soft hyphen, byte order mark.
func around(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Ps, unicode.Pe, unicode.Pi, unicode.Pf) || strings.ContainsRune("\"'`<>", r)
}

// behind reports whether a character may follow an ID. Dots and slashes before
// an ID would make the text a path.
func behind(r rune) bool { return around(r) || strings.ContainsRune(".,:;!*/\\…", r) }

// unescaped decodes percent and plus. A text with a bad escape is unchanged.
func unescaped(s string) string {
	if text, err := unescape(s); err == nil {
		return text
	}
	return s
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}
