package reply

import (
	"net/http"
	"regexp"
	"strings"
)

// Refusal is one of the API's documented refusals.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers/conversions
type Refusal int

// Documented refusals.
const (
	None Refusal = iota
	AlreadyConfirmed
	NotActionOffer
	SubmissionNotFound
	OfferNotFound
)

// id is an ID in the middle of a message. It needs a digit or an underscore,
// because a plain word changes the meaning, as in "Offer page not found".
const id = `( [a-z0-9_-]*[0-9_][a-z0-9_-]*)?`

// refusals are the documented messages in the form that normal returns. Each
// matches a whole text.
var refusals = []struct {
	refusal Refusal
	message *regexp.Regexp
}{
	{AlreadyConfirmed, regexp.MustCompile(`^(offer )?submission` + id + ` must be unique$`)},
	{NotActionOffer, regexp.MustCompile(`^(offer )?submission` + id + ` must be an action$`)},
	{SubmissionNotFound, regexp.MustCompile(`^(offer )?submission` + id + ` not found$`)},
	{OfferNotFound, regexp.MustCompile(`^offer` + id + ` not found$`)},
}

// meaning returns the refusal in a text. It must be the whole text.
func meaning(text string) Refusal {
	const longest = 300 // longer than any known message with an ID
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
		if strings.EqualFold(text[max(len(text)-len(word), 0):], word) {
			return true
		}
	}
	return false
}

// finalDots are dropped at the end of a message.
const finalDots = ".! \t\r\n"

// normal returns a message in lower case, with single spaces, without final
// dots.
func normal(message string) string {
	return strings.TrimRight(strings.Join(strings.Fields(strings.ToLower(message)), " "), finalDots)
}

// refusal returns the refusal that all texts have in common. The name of a
// status, such as "Unprocessable Entity", does not count.
func (t *Texts) refusal() Refusal {
	if len(t.more) == 0 {
		return meaning(t.first) // fast path: the one message of a success
	}
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

// refusal returns the answer's refusal. A field with another text does not
// count. Two fields with different refusals are no refusal.
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

// statusNames are the names of the 4xx statuses, and other titles without more
// information.
var statusNames = func() map[string]bool {
	names := map[string]bool{"error": true, "validation failed": true, "unprocessable content": true}
	for status := 400; status < 500; status++ {
		names[normal(http.StatusText(status))] = true
	}
	return names
}()
