package reply

import (
	"net/http"
	"regexp"
	"strings"
)

// Refusal is one of the API's known refusals.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers/conversions
type Refusal int

// The known refusals.
const (
	None Refusal = iota
	AlreadyConfirmed
	NotActionOffer
	SubmissionNotFound
	OfferNotFound
)

// id is an id in the middle of a message. It has a digit or an underscore: a
// plain word there makes the message another one, as in "Offer page not found".
const id = `( [a-z0-9_-]*[0-9_][a-z0-9_-]*)?`

// refusals are the known messages as normal returns them, each one whole.
var refusals = []struct {
	refusal Refusal
	message *regexp.Regexp
}{
	{AlreadyConfirmed, regexp.MustCompile(`^(offer )?submission` + id + ` must be unique$`)},
	{NotActionOffer, regexp.MustCompile(`^(offer )?submission` + id + ` must be an action$`)},
	{SubmissionNotFound, regexp.MustCompile(`^(offer )?submission` + id + ` not found$`)},
	{OfferNotFound, regexp.MustCompile(`^offer` + id + ` not found$`)},
}

// meaning returns the refusal that a text is. A part of a longer text is none.
func meaning(text string) Refusal {
	const longest = 300 // a known message with an id of 128 characters is shorter
	if len(text) > longest || !mayRefuse(text) {
		return None
	}
	text = normal(text)
	for _, known := range refusals {
		if known.message.MatchString(text) {
			return known.refusal
		}
	}
	return None
}

// mayRefuse is the fast path: the text of a success ends in another word.
func mayRefuse(text string) bool {
	text = strings.TrimRight(text, finalDots)
	for _, word := range []string{"unique", "action", "found"} {
		if n := len(text) - len(word); n >= 0 && strings.EqualFold(text[n:], word) {
			return true
		}
	}
	return false
}

// finalDots are dropped at the end of a message.
const finalDots = ".! \t\r\n"

// normal returns a message in lower case, with single spaces and no final dots.
func normal(message string) string {
	return strings.TrimRight(strings.Join(strings.Fields(strings.ToLower(message)), " "), finalDots)
}

// refusal returns the refusal that all of the texts are. A status's name beside
// them, such as "Unprocessable Entity", does not count.
func (t *Texts) refusal() Refusal {
	found := None
	for _, text := range t.all() {
		refusal := meaning(text)
		switch {
		case refusal == None && statusNames[normal(text)]:
		case refusal == None, found != None && refusal != found:
			return None
		default:
			found = refusal
		}
	}
	return found
}

// refusal returns the refusal that the answer is. A field in other words does
// not matter; two fields that are different refusals are none.
func (e *Envelope) refusal() Refusal {
	found := None
	for _, field := range []*Texts{&e.Error, &e.Errors, &e.Message} {
		refusal := field.refusal()
		if refusal == None {
			continue
		}
		if found != None && refusal != found {
			return None
		}
		found = refusal
	}
	return found
}

// statusNames are the names of the 4xx statuses, and other titles that say no
// more than such a name.
var statusNames = func() map[string]bool {
	names := map[string]bool{"error": true, "validation failed": true, "unprocessable content": true}
	for status := 400; status < 500; status++ {
		names[normal(http.StatusText(status))] = true
	}
	return names
}()
