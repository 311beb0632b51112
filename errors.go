package sparkloop

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/redact"
	"github.com/sparkloop-go/sparkloop/internal/reply"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Errors to match with [errors.Is].
var (
	// ErrNoTracking means that a URL, a request, a text or a metadata map holds
	// no tracking: the visitor did not come through SparkLoop.
	ErrNoTracking = errors.New("no tracking")

	// ErrInvalidTracking means that a tracking or an ID is malformed. Nothing is
	// sent.
	ErrInvalidTracking = errors.New("invalid tracking")

	// ErrUnauthorized is the API's 401: the key is missing or wrong.
	ErrUnauthorized = errors.New("unauthorized")

	// ErrOfferNotFound means that the account has no offer with this ID.
	ErrOfferNotFound = errors.New("offer not found")

	// ErrSubmissionNotFound means that the offer has no submission with this ID.
	ErrSubmissionNotFound = errors.New("submission not found")

	// ErrNotActionOffer means that the offer pays for clicks or leads. It has no
	// conversions to confirm.
	ErrNotActionOffer = errors.New("not an action offer")

	// ErrRateLimited is the API's 429. With StatusCode 0 the call was not sent:
	// the client's own pacing had no turn for it before the deadline.
	ErrRateLimited = errors.New("rate limited")

	// ErrEndpointNotFound means that every address of the endpoint answers 404 or
	// 405 without one of the API's known messages. The error's text lists the
	// addresses. See [WithBaseURL], or look for a newer version of this module.
	ErrEndpointNotFound = errors.New("endpoint not found")

	// ErrUnexpectedResponse means that the answer is not one of the documented
	// API: a redirect, a body over 8 MiB, or a success that is a proxy's page, is
	// cut off, or has an error. A proxy's page with a 4xx or 5xx status does not
	// match this error; the error's text describes the answer.
	ErrUnexpectedResponse = errors.New("unexpected response")
)

// Error is a call that failed: the API's answer, or the error of the network or
// the context. Use it with [errors.As]. It matches with [errors.Is] the Err values
// of this package, [context.DeadlineExceeded] and the errors of the network.
//
// While the address of the endpoint is not known a call may be sent to several.
// If none of them works, the error is the first answer.
//
// It holds no request and no key. A key of four characters or more in a server's
// text is redacted in every field.
type Error struct {
	// StatusCode is the status of the answer, or 0 without one.
	StatusCode int
	// Message is the API's own text, unchanged: at most 512 bytes, without control
	// characters. It may be empty.
	Message string
	// Method and Path are those of the request.
	Method, Path string
	// Header and Body are those of the answer. Body has at most 64 KiB.
	Header http.Header
	Body   []byte
	// Attempts is how many requests were sent, including retries and requests to
	// other addresses.
	Attempts int

	what   string // "confirm offer_x/submission_y"
	kind   error  // one of the Err values, or nil
	detail string // what is wrong, in our words
	cause  error  // the network's, the context's or the limiter's error
	final  bool
}

// errAlreadyConfirmed is the refusal that [ConversionsService.Confirm] returns as
// a success.
var errAlreadyConfirmed = errors.New("already confirmed")

// newError returns the error for an answer that is no success. what names the
// call.
func (c *caller) newError(what string, a *transport.Answer, m reply.Meaning) *Error {
	e := &Error{
		StatusCode: a.StatusCode,
		Message:    c.key.Clean(m.Text),
		Method:     a.Method,
		Path:       a.URL.Path,
		Attempts:   a.Attempts,
		what:       what,
		kind:       kind(a, m),
		detail:     c.key.Clean(m.Detail),
		cause:      c.key.Err(a.Err),
		final:      m.Final,
	}
	if a.StatusCode != 0 {
		e.Header, e.Body = c.key.RedactHeader(a.Header), c.key.Excerpt(a.Body)
	}
	return e
}

// kind returns the Err value for an answer, or nil.
func kind(a *transport.Answer, m reply.Meaning) error {
	switch m.Refusal {
	case reply.AlreadyConfirmed:
		return errAlreadyConfirmed
	case reply.NotActionOffer:
		return ErrNotActionOffer
	case reply.SubmissionNotFound:
		return ErrSubmissionNotFound
	case reply.OfferNotFound:
		return ErrOfferNotFound
	case reply.None:
	}
	switch {
	case m.Unexpected:
		return ErrUnexpectedResponse
	case a.StatusCode == http.StatusUnauthorized:
		return ErrUnauthorized
	case a.StatusCode == http.StatusTooManyRequests, a.Attempts == 0 && errors.Is(a.Err, transport.ErrNoSlot):
		return ErrRateLimited
	}
	return nil
}

// misuse returns the error for a call that cannot be sent, now or later.
func misuse(what, detail string) *Error { return &Error{what: what, detail: detail, final: true} }

// name is a short name of the error for tracing. It is "" for nil, and for a
// conversion that was confirmed before.
func (e *Error) name() string {
	if e == nil {
		return ""
	}
	switch {
	case e.kind == nil:
	case errors.Is(e.kind, errAlreadyConfirmed):
		return ""
	default:
		return strings.ReplaceAll(strings.Replace(e.kind.Error(), "not an ", "not_", 1), " ", "_")
	}
	switch {
	case errors.Is(e.cause, context.Canceled):
		return "canceled"
	case errors.Is(e.cause, context.DeadlineExceeded):
		return "timeout"
	case e.StatusCode != 0:
		return strconv.Itoa(e.StatusCode)
	}
	return "no_answer"
}

// keep takes over the answer of another form if this call ended without one: the
// last answer is never lost.
func (e *Error) keep(before *Error) {
	if e.StatusCode == 0 && before.StatusCode != 0 {
		e.StatusCode, e.Message, e.Header, e.Body = before.StatusCode, before.Message, before.Header, before.Body
		e.kind = nil
	}
}

// Error returns one line: the call, the status with the API's message, and the
// reason.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	parts := []string{"sparkloop", e.what}
	if e.StatusCode != 0 {
		text := e.Message
		if text == "" {
			text = http.StatusText(e.StatusCode)
		}
		parts = append(parts, strings.TrimSpace(strconv.Itoa(e.StatusCode)+" "+text))
	}
	switch {
	case e.kind == nil:
	case e.StatusCode == 0, errors.Is(e.kind, ErrUnexpectedResponse), errors.Is(e.kind, ErrEndpointNotFound):
		parts = append(parts, e.kind.Error()) // the status alone does not say it
	}
	if e.detail != "" {
		parts = append(parts, e.detail)
	}
	if e.cause != nil {
		parts = append(parts, redact.Printable(e.cause.Error()))
	}
	text := strings.Join(parts, ": ")
	if e.Attempts > 1 {
		text += " (" + strconv.Itoa(e.Attempts) + " attempts)"
	}
	return text
}

// Unwrap returns the errors that [errors.Is] and [errors.As] match.
func (e *Error) Unwrap() []error {
	if e == nil {
		return nil
	}
	var errs []error
	if e.kind != nil {
		errs = append(errs, e.kind)
	}
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	return errs
}

// Retryable reports whether the same call may succeed later. It is false for:
//
//   - nil, [ErrNoTracking] and [ErrInvalidTracking];
//   - a call that cannot be sent: a nil context, a negative page, a client that
//     [New] has not made;
//   - one of SparkLoop's known refusals, such as [ErrSubmissionNotFound];
//   - a 400, 409, 410 or 422 with a JSON error, once the address of the endpoint
//     has proven right by a success or by a known refusal.
//
// It is true for everything else, including unknown errors: an outage, a full
// rate limit, a wrong key, a firewall's page.
//
// If it is false, do not discard the conversion: store it for a person to review.
// To wait before a retry, use [RetryAfter] or your own backoff.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, ErrNoTracking) || errors.Is(err, ErrInvalidTracking) {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return !ok || e != nil && !e.final
}

// RetryAfter returns the rest of the wait in the API's Retry-After header, at most
// 24 h. It returns false if there is no such header, or if the wait is over. A
// client waits up to 60 s itself, if its deadline and [WithRetries] allow. The
// caller must wait for the rest.
func RetryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e == nil {
		return 0, false
	}
	return transport.RetryAfter(e.Header)
}
