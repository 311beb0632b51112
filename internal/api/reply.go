package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Kind is what a failure means.
type Kind int

// The kinds of failure; the root package has a sentinel error for most.
const (
	Unknown Kind = iota
	AlreadyConfirmed
	Unauthorized
	OfferNotFound
	SubmissionNotFound
	NotActionOffer
	RateLimited
	EndpointNotFound
	UnexpectedResponse
)

const (
	maxErrorBody = 64 << 10
	maxMessage   = 512
	// longestMessage is what is looked at of a message: more is none, and costs
	// time. Clean still sees that it was cut.
	longestMessage = maxMessage + 2*longestKey + 1

	maxValues  = 100_000 // 200 offers have some 4,000, and more with long lists of countries
	maxOffers  = 5_000   // 200 are a page; each takes some 500 bytes, if its text is but a 0
	longestKey = 8 << 10 // a key has at most 1 KiB, escaped at most six times that
)

// Failure is a call that did not succeed. The key is in none of its parts.
type Failure struct {
	StatusCode   int
	Message      string
	Method, Path string
	Header       http.Header
	Body         []byte
	Attempts     int

	Kind   Kind
	Detail string // our own words on it
	Cause  error  // the network's, the context's or the limiter's error
	Final  bool   // the API's last word on this call
}

// name is a short name of the failure, for tracing: "" for none, and for a
// conversion that counted before.
func (f *Failure) name() string {
	if f == nil {
		return ""
	}
	switch f.Kind {
	case AlreadyConfirmed:
		return ""
	case Unauthorized:
		return "unauthorized"
	case OfferNotFound:
		return "offer_not_found"
	case SubmissionNotFound:
		return "submission_not_found"
	case NotActionOffer:
		return "not_action_offer"
	case RateLimited:
		return "rate_limited"
	case EndpointNotFound:
		return "endpoint_not_found"
	case UnexpectedResponse:
		return "unexpected_response"
	}
	switch {
	case errors.Is(f.Cause, context.Canceled):
		return "canceled"
	case errors.Is(f.Cause, context.DeadlineExceeded):
		return "timeout"
	case f.StatusCode != 0:
		return strconv.Itoa(f.StatusCode)
	}
	return "no_answer"
}

// keep takes over the answer that another form gave before, if this failure has
// none: the last answer is never lost.
func (f *Failure) keep(before *Failure) {
	if f.StatusCode == 0 && before != nil && before.StatusCode != 0 {
		f.StatusCode, f.Message, f.Header, f.Body = before.StatusCode, before.Message, before.Header, before.Body
		f.Kind = Unknown
	}
}

// Reply is what a good answer is decoded into: a pointer to a struct that
// embeds an Envelope.
type Reply interface {
	// Missing names what a good answer must have and this one has not, or "".
	Missing() string
	failure() json.RawMessage
}

// Envelope is what any answer may hold.
type Envelope struct {
	Message string     `json:"message"`
	Error   errorField `json:"error"`
}

// errorField is the value of "error". Of several, the first that says something
// stays: an answer that contradicts itself is no success.
type errorField json.RawMessage

func (f *errorField) UnmarshalJSON(value []byte) error {
	if text(json.RawMessage(*f)) == "" {
		*f = append((*f)[:0], value...)
	}
	return nil
}

// Missing says that an answer needs nothing beside being a JSON object.
func (*Envelope) Missing() string { return "" }

func (e *Envelope) failure() json.RawMessage { return json.RawMessage(e.Error) }

// decode reads the body of a 2xx. It returns why that is no success, with the
// error that the body holds, if it holds one.
func decode(body []byte, into Reply) (problem, message string) {
	if problem := unmarshal(body, into); problem != "" {
		return problem, ""
	}
	if message := text(into.failure()); message != "" {
		return "a success with an error in it", message
	}
	if missing := into.Missing(); missing != "" {
		return "the answer has no " + missing, ""
	}
	return "", ""
}

// unmarshal decodes a JSON object. A field of the wrong type keeps its zero value.
func unmarshal(body []byte, into any) (problem string) {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return "the answer is empty"
	}
	if trimmed[0] != '{' {
		return "the answer is not a JSON object"
	}
	if n := bytes.Count(body, []byte{','}); n > maxValues || n > maxOffers && elements(body) > maxOffers {
		return "the answer has more values than any of the API's"
	}
	if err := json.Unmarshal(body, into); err != nil && !isWrongType(err) {
		return "the answer is not valid JSON"
	}
	return ""
}

// elements counts the commas between an answer's members and between the
// elements of a list that is one of them: about as many as it has offers.
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

func isWrongType(err error) bool {
	var wrongType *json.UnmarshalTypeError
	return errors.As(err, &wrongType)
}

// text is what an "error" field says: its string, or any other value that is
// not an empty one as it stands.
func text(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	switch s := string(raw); s {
	case "false", "{}", "[]":
		return ""
	default:
		return s
	}
}

// refused reads an answer that is not a 2xx, or a call that ended without one.
func (a *API) refused(c *Call, u *url.URL, answer *transport.Answer, proven bool) (*Failure, endpoint.Verdict) {
	var said Envelope
	if answer.StatusCode >= 400 && !errors.Is(answer.Err, transport.ErrTooLarge) {
		unmarshal(answer.Body, &said)
	}
	message := text(said.failure())
	message = message[:min(len(message), longestMessage)]
	failed := a.failure(c, u, answer, message)
	status := answer.StatusCode
	switch {
	case status == 0:
		if answer.Attempts == 0 && errors.Is(answer.Err, transport.ErrNoSlot) {
			failed.Kind = RateLimited
		}
		return failed, endpoint.Open
	case status == http.StatusUnauthorized:
		failed.Kind = Unauthorized
		return failed, endpoint.Open
	case status == http.StatusTooManyRequests:
		failed.Kind = RateLimited
		return failed, endpoint.Open
	case status < 400 || status > 599 || errors.Is(answer.Err, transport.ErrTooLarge):
		failed.Kind = UnexpectedResponse
		if location := answer.Header.Get("Location"); location != "" && status/100 == 3 {
			if target, err := u.Parse(location); err == nil {
				failed.Detail = "a redirect to " + a.Clean(target.Host)
			}
		}
		return failed, endpoint.Open
	case !aboutTheCall(status) || answer.Err != nil:
		return failed, endpoint.Open
	}
	if failed.Kind = meaning(message); failed.Kind != Unknown {
		failed.Final = true
		return failed, endpoint.Proven
	}
	noRoute := status == http.StatusNotFound || status == http.StatusMethodNotAllowed
	if noRoute && (!proven || generic(message)) {
		return failed, endpoint.Absent
	}
	failed.Final = message != ""
	return failed, endpoint.Open
}

// failure takes over what an answer says, without the key.
func (a *API) failure(c *Call, u *url.URL, answer *transport.Answer, message string) *Failure {
	f := &Failure{
		StatusCode: answer.StatusCode,
		Message:    a.Clean(message),
		Method:     c.method(),
		Path:       u.Path,
		Attempts:   answer.Attempts,
		Cause:      a.presentable(answer.Err),
	}
	if answer.StatusCode != 0 {
		f.Header = a.Key.RedactHeader(answer.Header)
		f.Body = []byte(a.excerpt(string(answer.Body), maxErrorBody))
	}
	return f
}

// aboutTheCall says whether an API's error with this status is about the call,
// and not about who sent it or when.
func aboutTheCall(status int) bool {
	switch status {
	case http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly:
		return false
	}
	return status <= 499
}

// meanings are the API's documented messages as normal leaves them; an id may
// stand in the middle.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers/conversions
var meanings = []struct {
	kind    Kind
	message *regexp.Regexp
}{
	{AlreadyConfirmed, regexp.MustCompile(`submission( \S+)? must be unique$`)},
	{NotActionOffer, regexp.MustCompile(`submission( \S+)? must be an action$`)},
	{SubmissionNotFound, regexp.MustCompile(`^(offer )?submission( \S+)? not found$`)},
	{OfferNotFound, regexp.MustCompile(`^offer( \S+)? not found$`)},
}

func meaning(message string) Kind {
	m := normal(message)
	for _, known := range meanings {
		if known.message.MatchString(m) {
			return known.kind
		}
	}
	return Unknown
}

// generic says whether a message says no more than that there is no such route.
func generic(message string) bool {
	switch m := strings.TrimLeft(normal(message), "045: "); m {
	case "", "not found", "method not allowed", "route not found", "page not found":
		return true
	default:
		return strings.HasPrefix(m, "no route matches")
	}
}

// normal is a message in lower case, with single spaces and no final dots.
func normal(message string) string {
	return strings.TrimRight(strings.Join(strings.Fields(strings.ToLower(message)), " "), ".! ")
}

// excerpt is the beginning of a server's text without the key. If it has to be
// cut, so much is left out that no part of a key stands at its end.
func (a *API) excerpt(s string, most int) string {
	whole := len(s) <= most+longestKey
	s = a.Key.Redact(s[:min(len(s), most+longestKey)])
	if !whole {
		s = s[:max(0, len(s)-longestKey)]
	}
	return s[:min(len(s), most)]
}

// Clean makes a server's text fit for a log line: without the key, printable,
// at most 512 bytes.
func (a *API) Clean(s string) string { return Printable(a.excerpt(s, maxMessage+longestKey)) }

// Printable is a text without control characters and line breaks, at most 512
// bytes of it.
func Printable(s string) string {
	if !printableASCII(s) {
		s = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) || r == utf8.RuneError {
				return ' '
			}
			return r
		}, s)
	}
	s = strings.TrimSpace(s)
	if len(s) <= maxMessage {
		return s
	}
	end := maxMessage
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// printableASCII says of most texts, in no time, that they need no cleaning.
func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// presentable returns err as it is, unless a server got the key into its text:
// then an error that says the rest and matches the same sentinels.
func (a *API) presentable(err error) error {
	if err == nil {
		return nil
	}
	text := a.Key.Redact(err.Error())
	if text == err.Error() {
		return err
	}
	return &cleanedError{text, func(target error) bool { return errors.Is(err, target) }}
}

// cleanedError stands for an error that cannot be shown: the original is in a
// closure, where it can be matched and not printed.
type cleanedError struct {
	text string
	is   func(target error) bool
}

func (e *cleanedError) Error() string        { return e.text }
func (e *cleanedError) Is(target error) bool { return e.is(target) }
