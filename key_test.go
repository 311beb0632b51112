package sparkloop_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/keytest"
	"github.com/sparkloop-go/sparkloop/internal/redact"
)

// marked is a key that is easy to find.
const marked = keytest.Key

func newClientWithKey(t *testing.T, key string, rt http.RoundTripper) *sparkloop.Client {
	t.Helper()
	c, err := sparkloop.New(key, sparkloop.WithHTTPClient(&http.Client{Transport: rt}), sparkloop.WithBackoff(1, 2))
	require.NoError(t, err)
	return c
}

// The key is set on the request itself, so that a mock transport sees it. No
// other host gets it.
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
	assert.Equal(t, []string{"api.sparkloop.app"}, slices.Compact(hosts))
}

// A long repeated key shrinks so much that the end of the searched part becomes
// visible.
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

// Wherever the body is cut, it does not end in a part of the key.
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

func TestTheMarkOfAKey(t *testing.T) {
	t.Parallel()
	c, err := sparkloop.New("key-of-one-account")
	require.NoError(t, err)
	same, err := c.With(sparkloop.WithTimeout(time.Minute))
	require.NoError(t, err)
	other, err := sparkloop.New("key-of-another-account")
	require.NoError(t, err)
	assert.Equal(t, redact.Mark(c, "salt"), redact.Mark(same, "salt"))
	assert.NotEqual(t, redact.Mark(c, "salt"), redact.Mark(other, "salt"))
	assert.Empty(t, redact.Mark(new(sparkloop.Client), "salt"))
	assert.Empty(t, redact.Mark(nil, "salt"))
}
