package delivery

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// This file is the whole retry policy. It decides the state of a conversion after an
// answer, the time of the next attempt, and the times of probes.

const (
	// callMax bounds the requests of one delivery, without the waits for slots.
	callMax = 20 * time.Second
	// probeMax bounds the time between two probes of a pause.
	probeMax = 5 * time.Minute
	// lifetime is how long SparkLoop accepts a confirmation after the click.
	lifetime = 45 * day
	day      = 24 * time.Hour
)

// retry holds Options.RetryMin and RetryMax.
type retry struct{ min, max time.Duration }

// pause returns how long a conversion waits after a failed attempt, with n failed
// attempts before.
func (r retry) pause(n int, err error) time.Duration {
	d := backoff(r.min, r.max, n)
	if asked, ok := sparkloop.RetryAfter(err); ok {
		d = max(d, min(asked, r.max))
	}
	return d
}

// probe returns the time until probe n+1 of a pause.
func (r retry) probe(n int) time.Duration {
	return backoff(r.min, min(r.max, max(r.min, probeMax)), n)
}

// backoff returns a random duration between d/2 and d. d is lo doubled n times, at
// most hi.
func backoff(lo, hi time.Duration, n int) time.Duration {
	d := hi
	if wait := math.Ldexp(float64(lo), n); wait < float64(hi) {
		d = time.Duration(wait)
	}
	return d/2 + rand.N(d/2+1)
}

// answer is the result of a delivery.
type answer struct {
	message string // of a success
	err     error  // nil for a success
	probe   bool   // the delivery was the probe of a pause
	alone   bool   // the last probe was the same conversion: no other waits
}

// decide returns the entry as it is after an answer. now is the time on the
// queue's clock. pause is how long the entry waits if it stays pending.
func decide(e outbox.Entry, a answer, now time.Time, pause time.Duration) outbox.Entry {
	e.Attempts++
	e.State, e.Reason = outbox.Confirmed, a.message
	if a.err != nil {
		e.Reason = a.err.Error()
		e.State = afterFailure(e, a, now)
	}
	e.Reason = plain(e.Reason)
	if e.State == outbox.Pending {
		e.DueAt = now.Add(pause)
	} else {
		e.DueAt, e.FinishedAt = time.Time{}, now
	}
	return e
}

func afterFailure(e outbox.Entry, a answer, now time.Time) outbox.State {
	over := expired(e, now, a.err)
	switch {
	case !sparkloop.Retryable(a.err) && over:
		return outbox.Expired
	case !sparkloop.Retryable(a.err):
		return outbox.Dead
	case over && judged(a.err) && (!a.probe || a.alone):
		// In a pause the failure may concern all conversions. If no other
		// conversion waits, nothing else could end the pause.
		return outbox.Expired
	}
	return outbox.Pending
}

// expires returns when an entry's 45 days end.
func expires(e outbox.Entry) time.Time {
	if at := e.Tracking.ExpiresAt(); !at.IsZero() {
		return at
	}
	return e.EnqueuedAt.Add(lifetime)
}

// expired reports whether an entry's 45 days are over. The Date of SparkLoop's
// answer overrides a queue's clock that is ahead.
func expired(e outbox.Entry, now time.Time, err error) bool {
	if answered, ok := errors.AsType[*sparkloop.Error](err); ok {
		if date, err := http.ParseTime(answered.Header.Get("Date")); err == nil && date.Before(now) {
			now = date
		}
	}
	return !now.Before(expires(e))
}

// judged reports whether a retryable failure was an answer about this conversion,
// not about the key, the network or the server.
func judged(err error) bool {
	var e *sparkloop.Error
	if !errors.As(err, &e) || errors.Is(err, sparkloop.ErrUnexpectedResponse) || errors.Is(err, sparkloop.ErrEndpointNotFound) {
		return false
	}
	switch e.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity:
		return e.Message != "" // a refusal, while the endpoint's address is not proven
	}
	return e.StatusCode >= http.StatusInternalServerError
}

// unsent reports whether an error means that no request was sent.
func unsent(err error) bool {
	var e *sparkloop.Error
	var ours *stateError
	return errors.As(err, &ours) || errors.Is(err, sparkloop.ErrRateLimited) && errors.As(err, &e) && e.StatusCode == 0
}

const unauthorized = "unauthorized"

// classOf returns the class of a failure. Two failures of a class are alike.
func classOf(err error) string {
	var e *sparkloop.Error
	switch {
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return unauthorized
	case errors.Is(err, sparkloop.ErrEndpointNotFound):
		return "endpoint not found"
	case errors.Is(err, sparkloop.ErrUnexpectedResponse):
		return "unexpected response"
	case !errors.As(err, &e) || e.StatusCode == 0:
		return "no answer"
	case e.StatusCode >= http.StatusInternalServerError:
		return "server error"
	}
	return "status " + strconv.Itoa(e.StatusCode)
}

// reasonOf returns a pause's reason. For a rejected key it is outbox.KeyRejected
// and SparkLoop's message.
func reasonOf(err error) string {
	var e *sparkloop.Error
	if !errors.Is(err, sparkloop.ErrUnauthorized) || !errors.As(err, &e) {
		return err.Error()
	}
	reason := outbox.KeyRejected
	if e.Message != "" {
		reason += ": " + e.Message
	}
	return reason
}
