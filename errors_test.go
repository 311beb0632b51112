package sparkloop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

func TestRetryable(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("anything else"), context.Canceled, context.DeadlineExceeded, http.ErrServerClosed,
		sparkloop.ErrUnauthorized, sparkloop.ErrRateLimited, sparkloop.ErrEndpointNotFound, sparkloop.ErrUnexpectedResponse,
		&sparkloop.Error{StatusCode: 503}, &sparkloop.Error{},
	} {
		assert.True(t, sparkloop.Retryable(err), "%v", err)
		assert.True(t, sparkloop.Retryable(fmt.Errorf("wrapped: %w", err)), "%v", err)
	}
	for _, err := range []error{nil, sparkloop.ErrNoTracking, fmt.Errorf("wrapped: %w", sparkloop.ErrInvalidTracking)} {
		assert.False(t, sparkloop.Retryable(err), "%v", err)
	}
	m := mockConfirm(jsonResponder(404, `{"error":"Submission not found"}`))
	_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
	wrapped := fmt.Errorf("order 7: %w", errors.Join(errors.New("other"), err))
	assert.False(t, sparkloop.Retryable(wrapped), "however wrapped")
	require.ErrorIs(t, wrapped, sparkloop.ErrSubmissionNotFound)
	assert.Equal(t, 404, asError(t, wrapped).StatusCode)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"": -1, "soon": -1, "0": -1, "Mon, 02 Jan 2006 15:04:05 GMT": -1, "7": 7 * time.Second, "86401": 24 * time.Hour, "9223372037": 24 * time.Hour} {
		m := mockConfirm(jsonResponder(503, ``).HeaderSet(http.Header{"Retry-After": {value}}))
		_, err := newClient(t, m, sparkloop.WithRetries(0)).Conversions.Confirm(t.Context(), tracking)
		got, ok := sparkloop.RetryAfter(fmt.Errorf("wrapped: %w", err))
		if want < 0 {
			assert.False(t, ok, value)
			continue
		}
		assert.True(t, ok, value)
		assert.Equal(t, want, got, value)
	}
	for _, err := range []error{nil, context.Canceled, &sparkloop.Error{}} {
		_, ok := sparkloop.RetryAfter(err)
		assert.False(t, ok)
	}
}

// The deadline would pass before the next attempt: the error matches the API's
// answer and the context's error.
func TestAnErrorIsTheAnswerAndTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mockConfirm(jsonResponder(429, `{"error":"Too many requests"}`).HeaderSet(http.Header{"Retry-After": {"30"}}))
		start := time.Now()
		_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
		assert.Zero(t, time.Since(start))
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "sparkloop: confirm offer_1234abcd/submission_1234abcd: 429 Too many requests: the next try is in 30s, too late: context deadline exceeded")
		wait, ok := sparkloop.RetryAfter(err)
		assert.True(t, ok)
		assert.Equal(t, 30*time.Second, wait)
	})
}

func TestMessagesAreFitForALog(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`plain`:                          "plain",
		`a\nb\r\nc\td\u0000e\u001b[31mf`: "a b  c d e [31mf",
		`  around  `:                     "around",
		`\u202eright to left\u2028`:      "right to left",
		strings.Repeat("ü", 400):         strings.Repeat("ü", 256),
		strings.Repeat("x", 600):         strings.Repeat("x", 512),
		"x" + strings.Repeat("ü", 400):   "x" + strings.Repeat("ü", 255),
		"bad \xff byte":                  "bad   byte",
	} {
		m := mockConfirm(jsonResponder(422, `{"error":"`+in+`"}`))
		_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
		assert.Equal(t, want, asError(t, err).Message)
		assert.NotContains(t, err.Error(), "\n")
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	m := httpmock.NewMockTransport()
	m.RegisterResponder(http.MethodGet, guide+"/offers", jsonResponder(503, `<html>`))
	_, err := newClient(t, m).Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.EqualError(t, err, "sparkloop: list offers: 503 Service Unavailable (4 attempts)")
	m.RegisterResponder(http.MethodGet, guide+"/offers", jsonResponder(599, ``))
	_, err = newClient(t, m, sparkloop.WithRetries(0)).Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.EqualError(t, err, "sparkloop: list offers: 599 (2 attempts)", "the other form has no responder")
}

// Misuse returns a final error and never panics.
func TestMisuse(t *testing.T) {
	t.Parallel()
	c := newClient(t, fails(errors.New("nothing may be sent")))
	zero := new(sparkloop.Client)
	for want, call := range map[string]func() error{
		"confirm offer_1234abcd/submission_1234abcd: the context is nil": func() error {
			_, err := c.Conversions.Confirm(nil, tracking) //nolint:staticcheck // that is the mistake
			return err
		},
		"list offers: the context is nil": func() error {
			_, err := c.Offers.List(nil, sparkloop.ListOffersParams{}) //nolint:staticcheck // that is the mistake
			return err
		},
		"list offers: page -1 with 0 offers: neither can be negative": func() error {
			_, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{Page: -1})
			return err
		},
		"list offers: page 0 with -2 offers: neither can be negative": func() error {
			_, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{PerPage: -2})
			return err
		},
		"confirm offer_1234abcd/submission_1234abcd: the client was not made by New": func() error {
			_, err := zero.Conversions.Confirm(t.Context(), tracking)
			return err
		},
		"list offers: the client was not made by New": func() error {
			for _, err := range new(sparkloop.OffersService).All(t.Context()) {
				return err
			}
			return nil
		},
		"get offer offer_1: the client was not made by New": func() error {
			_, err := zero.Offers.Get(t.Context(), "offer_1")
			return err
		},
	} {
		err := call()
		require.EqualError(t, err, "sparkloop: "+want)
		assert.False(t, sparkloop.Retryable(err), want)
		assert.False(t, sparkloop.Retryable(fmt.Errorf("wrapped: %w", err)))
		e := asError(t, err)
		assert.Zero(t, e.StatusCode)
		assert.Zero(t, e.Attempts)
	}
	_, err := new(sparkloop.ConversionsService).Confirm(t.Context(), tracking)
	require.ErrorContains(t, err, "not made by New")
	_, err = zero.With()
	require.ErrorContains(t, err, "New")
}

func TestANilError(t *testing.T) {
	t.Parallel()
	var none *sparkloop.Error
	for _, err := range []error{none, fmt.Errorf("wrapped: %w", none), errors.Join(none)} {
		assert.False(t, sparkloop.Retryable(err))
		_, ok := sparkloop.RetryAfter(err)
		assert.False(t, ok)
		assert.NotErrorIs(t, err, sparkloop.ErrUnauthorized)
		assert.Contains(t, err.Error(), "<nil>")
	}
	assert.Nil(t, none.Unwrap())
}
