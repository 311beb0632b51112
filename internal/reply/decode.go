// Package reply reads the API's answers: the content of a success, the reason
// of a failure, and whether a failure is final.
package reply

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

const (
	maxValues = 100_000 // 200 offers have about 4,000, more with long lists of countries
	maxOffers = 5_000   // a page has at most 200; a decoded offer takes about 500 bytes
)

// Body is the target of a success: a pointer to a struct that embeds
// [Envelope].
type Body interface {
	// Missing returns what a success must have and this answer lacks, or "".
	Missing() string
	// Reset sets the struct to its zero value.
	Reset()
	envelope() *Envelope
}

// Envelope has the fields that any answer may have besides its own content.
type Envelope struct {
	Message Texts `json:"message"`
	Error   Texts `json:"error"`
	Errors  Texts `json:"errors"`
	Success no    `json:"success"`
	OK      no    `json:"ok"`
	Status  bad   `json:"status"`
}

// Missing returns "": any JSON object will do.
func (*Envelope) Missing() string { return "" }

// Reset sets the Envelope to its zero value.
func (e *Envelope) Reset() { *e = Envelope{} }

func (e *Envelope) envelope() *Envelope { return e }

// Text returns the answer's error, or else its message.
func (e *Envelope) Text() string {
	for _, field := range []*Texts{&e.Error, &e.Errors, &e.Message} {
		if text := field.String(); text != "" {
			return text
		}
	}
	return ""
}

// denied returns why a 2xx is no success, or "".
func (e *Envelope) denied() string {
	switch {
	case e.Error.String() != "" || e.Errors.String() != "":
		return "a success status with an error in the answer"
	case bool(e.Success) || bool(e.OK):
		return `a success status with "success": false or "ok": false`
	case bool(e.Status):
		return `a success status with an error's "status" in the answer`
	case e.Message.refusal() != None:
		return "a success status with a refusal as the message"
	}
	return ""
}

// no is true if one of its values in the answer is false.
type no bool

func (n *no) UnmarshalJSON(value []byte) error {
	switch scalar(value) {
	case "false", "0", "no":
		*n = true
	}
	return nil
}

// bad is true if one of its values in the answer is the status of an error.
type bad bool

func (b *bad) UnmarshalJSON(value []byte) error {
	text := scalar(value)
	switch text {
	case "false", "error", "errors", "fail", "failed", "failure":
		*b = true
	}
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	if len(digits) > 3 || len(digits) == 3 && digits >= "400" {
		*b = true // 404, "404", "404 Not Found"
	}
	return nil
}

// scalar returns a JSON string, number or bool as text in lower case.
func scalar(value []byte) string {
	return strings.ToLower(strings.TrimSpace(strings.Trim(string(value[:min(len(value), 64)]), `"`)))
}

// decode reads the body of a 2xx. It returns why the answer is no success, or
// "".
func decode(body []byte, into Body) (problem string) {
	if problem := unmarshal(body, into); problem != "" {
		return problem
	}
	if problem := into.envelope().denied(); problem != "" {
		return problem
	}
	if missing := into.Missing(); missing != "" {
		return "the answer has no " + missing
	}
	return ""
}

// unmarshal decodes a JSON object. A field of the wrong type keeps its zero value.
func unmarshal(body []byte, into any) (problem string) {
	if len(bytes.TrimLeft(body, space)) == 0 {
		return "the answer is empty"
	}
	if !isObject(body) {
		return "the answer is not a JSON object"
	}
	if n := bytes.Count(body, []byte{','}); n > maxValues || n > maxOffers && elements(body) > maxOffers {
		return "the answer has too many values"
	}
	if err := json.Unmarshal(body, into); err != nil {
		if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); !wrongType {
			return "the answer is not valid JSON"
		}
	}
	return ""
}

const space = " \t\r\n"

func isObject(body []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(body, space), []byte{'{'}) }

// elements counts the commas between an answer's members, and between the
// elements of its lists: about the number of offers.
func elements(body []byte) (n int) {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		case c == ',' && depth <= 2:
			n++
		}
	}
	return n
}
