package sparkloop

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/api"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Errors to match with [errors.Is].
var (
	// ErrNoTracking says that a URL, a request, a text or a metadata map holds
	// no tracking: the visitor did not come through SparkLoop.
	ErrNoTracking = errors.New("no tracking")

	// ErrInvalidTracking says that there is something in the place of a
	// tracking or an id which cannot be one. Nothing is sent.
	ErrInvalidTracking = errors.New("invalid tracking")

	// ErrUnauthorized is the API's 401: the key is missing or wrong.
	ErrUnauthorized = errors.New("unauthorized")

	// ErrOfferNotFound says that the account has no offer with that id.
	ErrOfferNotFound = errors.New("offer not found")

	// ErrSubmissionNotFound says that the offer has no submission with that id.
	ErrSubmissionNotFound = errors.New("submission not found")

	// ErrNotActionOffer says that the offer pays for clicks or leads; there is
	// no conversion to confirm.
	ErrNotActionOffer = errors.New("not an action offer")

	// ErrRateLimited is the API's 429. With StatusCode 0 the call was not sent:
	// the client's own pacing had no turn for it before the deadline.
	ErrRateLimited = errors.New("rate limited")

	// ErrEndpointNotFound says that the server knows none of the addresses that
	// were tried; the error's text names them. Look at [WithBaseURL], and for a
	// newer version of this module.
	ErrEndpointNotFound = errors.New("endpoint not found")

	// ErrUnexpectedResponse says that something answered which is not the API
	// as documented: a redirect, a body over 8 MiB, or a success that is a
	// proxy's page or cut. With an error's status, such a page is none of these.
	ErrUnexpectedResponse = errors.New("unexpected response")
)

// Error is what came of a call that did not succeed: the API's answer, or what
// the network or the context said. Get at it with [errors.As]; match it with
// [errors.Is] to the Err values of this package, to [context.DeadlineExceeded]
// and to the network's errors.
//
// It holds no request and no key: a key (of four characters or more) that a
// server repeats is replaced in every field and in the text.
type Error struct {
	// StatusCode is that of the last answer, or 0 if none came.
	StatusCode int
	// Message is the API's own text, in its words: at most 512 bytes, without
	// control characters. It may be empty.
	Message string
	// Method and Path are the last request's.
	Method, Path string
	// Header and Body are the last answer's; Body has at most 64 KiB.
	Header http.Header
	Body   []byte
	// Attempts is how many requests were sent, retries and probes included.
	Attempts int

	what   string // "confirm offer_x/submission_y"
	kind   error  // one of the Err values, or nil
	detail string // our own words on it
	cause  error  // the network's, the context's or the limiter's error
	final  bool   // the API's last word on it
}

var kinds = map[api.Kind]error{
	api.Unauthorized:       ErrUnauthorized,
	api.OfferNotFound:      ErrOfferNotFound,
	api.SubmissionNotFound: ErrSubmissionNotFound,
	api.NotActionOffer:     ErrNotActionOffer,
	api.RateLimited:        ErrRateLimited,
	api.EndpointNotFound:   ErrEndpointNotFound,
	api.UnexpectedResponse: ErrUnexpectedResponse,
}

// newError gives a failed call its public form. what names the call.
func newError(what string, f *api.Failure) *Error {
	return &Error{
		StatusCode: f.StatusCode,
		Message:    f.Message,
		Method:     f.Method,
		Path:       f.Path,
		Header:     f.Header,
		Body:       f.Body,
		Attempts:   f.Attempts,
		what:       what,
		kind:       kinds[f.Kind],
		detail:     f.Detail,
		cause:      f.Cause,
		final:      f.Final,
	}
}

// Error is one line: what was tried, the status and the API's message, and the
// reason if there was another one.
func (e *Error) Error() string {
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
		parts = append(parts, api.Printable(e.cause.Error()))
	}
	text := strings.Join(parts, ": ")
	if e.Attempts > 1 {
		text += " (" + strconv.Itoa(e.Attempts) + " attempts)"
	}
	return text
}

// Unwrap gives [errors.Is] and [errors.As] what the error stands for.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.kind != nil {
		errs = append(errs, e.kind)
	}
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	return errs
}

// Retryable says whether the same call may succeed at a later time. It is
// false for nil, for [ErrNoTracking] and [ErrInvalidTracking], and for an
// answer that is SparkLoop's last word, such as [ErrSubmissionNotFound]. It is
// true for everything else, errors that this package does not know included:
// an outage, a full rate limit, a wrong key, a firewall's page.
//
// Where it is false, never throw the conversion away: set it aside for a
// person to look at. How long to wait is for [RetryAfter] and your own backoff.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, ErrNoTracking) || errors.Is(err, ErrInvalidTracking) {
		return false
	}
	var e *Error
	return !errors.As(err, &e) || !e.final
}

// RetryAfter returns for how long the API asked to wait, at most 24 h, and
// whether it asked for a time that is not over. A client waits by itself for up to 60 s, if its deadline
// and [WithRetries] allow; what is left in an error is for the caller to wait.
func RetryAfter(err error) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return transport.RetryAfter(e.Header)
}
