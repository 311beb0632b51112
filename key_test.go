package sparkloop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// marked is a key that is easy to find again.
const marked = "MARKED-api-key-0123456789"

// echo answers with the key it was sent, in every place that an answer has.
func echo(status int) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		key := r.Header.Get("X-Api-Key")
		return &http.Response{
			StatusCode: status,
			Header:     http.Header{"X-Echo": {"your key is " + key}, "X-" + key: {"x"}, "Location": {"https://" + key + ".example/?k=" + key}},
			Body:       io.NopCloser(strings.NewReader(`{"message":"hello ` + key + `","error":"User ` + key + ` not found","key":"` + key + `"}`)),
		}, nil
	})
}

func TestTheKeyIsNowhere(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	loggers := []*slog.Logger{slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil))}
	forms := []string{strings.ToLower(marked), fmt.Sprintf("%x", marked), fmt.Sprintf("% x", marked), strings.Trim(fmt.Sprint([]byte(marked)), "[]")}
	seen := func(what string, values ...any) {
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%p", "%T", "% x", "%#q", "%-20v", "%020d"} {
				text := strings.ToLower(fmt.Sprintf(verb, v))
				for _, form := range forms {
					if strings.Contains(text, form) {
						t.Errorf("%s: %s shows the key: %s", what, verb, text)
					}
				}
			}
			if data, err := json.Marshal(v); err == nil && bytes.Contains(data, []byte(marked)) {
				t.Errorf("%s: as JSON: %s", what, data)
			}
			for _, logger := range loggers {
				logger.Info("x", "v", v)
			}
		}
	}
	failing := map[string]http.RoundTripper{
		"malformed": roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("net/http: malformed HTTP response %q: %w", "X-Api-Key: "+marked, net.ErrClosed)
		}),
	}
	for _, status := range []int{200, 302, 401, 403, 404, 422, 503} {
		failing[fmt.Sprint(status)] = echo(status)
	}
	for name, rt := range failing {
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c, err := sparkloop.New(marked, sparkloop.WithHTTPClient(&http.Client{Transport: rt}), sparkloop.WithBackoff(1, 2),
			sparkloop.WithRateLimit(0, 0), sparkloop.WithLogger(logger))
		require.NoError(t, err)
		copied, err := c.With(sparkloop.WithRetries(1))
		require.NoError(t, err)
		seen(name+": client", c, *c, copied, c.Offers, *c.Offers, c.Conversions, *c.Conversions, struct{ C sparkloop.Client }{*c}, map[string]any{"c": c})

		_, confirmErr := c.Conversions.Confirm(t.Context(), tracking)
		_, listErr := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		_, getErr := c.Offers.Get(t.Context(), "offer_1")
		for _, err := range []error{confirmErr, listErr, getErr} {
			require.Error(t, err, name)
			e := asError(t, err)
			seen(name+": error", err, e, *e, e.Header, string(e.Body), struct{ E sparkloop.Error }{*e})
			for err := error(e); err != nil; err = errors.Unwrap(err) {
				seen(name+": unwrapped", err)
			}
			for _, inner := range e.Unwrap() {
				seen(name+": within", inner)
			}
			if name == "malformed" {
				require.ErrorIs(t, err, net.ErrClosed, "what it was can still be matched")
			}
		}
	}
	ok := roundTrip(func(r *http.Request) (*http.Response, error) {
		return jsonResponder(200, `{"message":"welcome `+r.Header.Get("X-Api-Key")+`"}`)(r)
	})
	confirmation, err := newClientWithKey(t, marked, ok).Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	assert.Equal(t, "welcome [redacted]", confirmation.Message)

	_, err = sparkloop.New(marked + " ")
	seen("New", err)
	_, err = sparkloop.New(marked, sparkloop.WithRetries(-1))
	seen("New", err)
	assert.NotContains(t, log.String(), marked)
	assert.Contains(t, log.String(), "sparkloop: attempt")
}

func newClientWithKey(t *testing.T, key string, rt http.RoundTripper) *sparkloop.Client {
	t.Helper()
	c, err := sparkloop.New(key, sparkloop.WithHTTPClient(&http.Client{Transport: rt}))
	require.NoError(t, err)
	return c
}

// The key goes on the request itself, so that a mock in the place of the
// transport sees it, and to no other host.
func TestTheKeyGoesWithTheRequest(t *testing.T) {
	t.Parallel()
	var hosts []string
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		assert.Equal(t, []string{marked}, r.Header["X-Api-Key"])
		hosts = append(hosts, r.URL.Host)
		return jsonResponder(307, ``).HeaderSet(http.Header{"Location": {"https://evil.example/"}})(r)
	})
	_, err := newClientWithKey(t, marked, rt).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
	assert.Equal(t, []string{"api.sparkloop.app"}, hosts)
}

// A long key repeated shrinks so much that the end of what is looked at shows.
func TestNoPartOfALongKeyStandsInAMessage(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("K3y-", 255)
	for _, offset := range []int{0, 1, 500, 1000} {
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			return jsonResponder(422, `{"error":"`+strings.Repeat("x", offset)+strings.Repeat(key, 40)+`"}`)(r)
		})
		_, err := newClientWithKey(t, key, rt).Conversions.Confirm(t.Context(), tracking)
		assert.NotContains(t, asError(t, err).Message, "K3y")
		assert.NotContains(t, string(asError(t, err).Body), "K3y")
	}
}

// However the body is cut, no part of a key stands at its end.
func TestNoPartOfTheKeyStandsWhereABodyIsCut(t *testing.T) {
	t.Parallel()
	for _, offset := range []int{0, 3, 7, 11, 16, 24} {
		body := strings.Repeat(" ", offset) + strings.Repeat(marked, 5000)
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			return jsonResponder(403, body)(r)
		})
		_, err := newClientWithKey(t, marked, rt).Conversions.Confirm(t.Context(), tracking)
		e := asError(t, err)
		assert.NotContains(t, string(e.Body), marked[:4])
		assert.NotEmpty(t, e.Body)

		long := roundTrip(func(r *http.Request) (*http.Response, error) {
			return jsonResponder(422, `{"error":"`+body+`"}`)(r)
		})
		_, err = newClientWithKey(t, marked, long).Conversions.Confirm(t.Context(), tracking)
		assert.NotContains(t, asError(t, err).Message, marked[:4])
	}
}
