package sparkloop_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

func TestNewRefusesABadKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"":                            "sparkloop: the API key is empty",
		"s3cr3t\n":                    "a line break or a character outside ASCII: number 7 of 7",
		" s3cr3t":                     "number 1 of 7",
		"Bearer s3cr3t":               "number 7 of 13",
		"s3cr3t\x00":                  "number 7 of 7",
		"s3cr3t™":                     "number 7 of 9",
		"s3cr3t\x7f":                  "number 7 of 7",
		strings.Repeat("s3cr3t", 200): "the API key has 1200 characters; at most 1024 are taken",
	} {
		c, err := sparkloop.New(key)
		assert.Nil(t, c)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "s3cr3t")
	}
	for _, good := range []string{"!~", strings.Repeat("s3cr3t-!", 128)} {
		_, err := sparkloop.New(good)
		require.NoError(t, err)
	}
}

type nopLimiter struct{}

func (*nopLimiter) Wait(context.Context) error                 { return nil }
func (*nopLimiter) Pause(context.Context, time.Duration) error { return nil }

func TestBadOptions(t *testing.T) {
	t.Parallel()
	good, err := sparkloop.New(testKey)
	require.NoError(t, err)
	for want, opt := range map[string]sparkloop.Option{
		"an option is nil":                        nil,
		"WithHTTPClient: the client is nil":       sparkloop.WithHTTPClient(nil),
		"WithTimeout: 0s is not a positive time":  sparkloop.WithTimeout(0),
		"WithTimeout: -1s":                        sparkloop.WithTimeout(-time.Second),
		"WithRetries: -1 is negative":             sparkloop.WithRetries(-1),
		"WithBackoff: 0s and 1s":                  sparkloop.WithBackoff(0, time.Second),
		"WithBackoff: 2s and 1s":                  sparkloop.WithBackoff(2*time.Second, time.Second),
		"WithBackoff: 1s and -1s":                 sparkloop.WithBackoff(time.Second, -time.Second),
		"WithRateLimit: -1 requests":              sparkloop.WithRateLimit(-1, time.Minute),
		"WithRateLimit: 1000001 requests":         sparkloop.WithRateLimit(1_000_001, time.Minute),
		"WithRateLimit: a window of 0s":           sparkloop.WithRateLimit(1, 0),
		"WithRateLimit: a window of -1s":          sparkloop.WithRateLimit(1, -time.Second),
		"WithRateLimit: a window of 24h0m1s":      sparkloop.WithRateLimit(1, 24*time.Hour+time.Second),
		"WithLimiter: the limiter is nil":         sparkloop.WithLimiter(nil),
		"WithLimiter: the limiter is nil\n":       sparkloop.WithLimiter((*nopLimiter)(nil)),
		"WithLogger: the logger is nil":           sparkloop.WithLogger(nil),
		"WithUserAgent: the name is empty":        sparkloop.WithUserAgent(" "),
		"WithUserAgent: the name has a character": sparkloop.WithUserAgent("shop\r\nX-Evil: 1"),
	} {
		want = strings.TrimSpace(want)
		_, err := sparkloop.New(testKey, opt)
		require.ErrorContains(t, err, "sparkloop: "+want)
		_, err = good.With(opt)
		require.ErrorContains(t, err, want)
	}
}

// Any character that a header can carry is allowed in a name.
func TestUserAgentNames(t *testing.T) {
	t.Parallel()
	_, err := sparkloop.New(testKey, sparkloop.WithUserAgent("my shop~"))
	require.NoError(t, err)
	for name, position := range map[string]string{"\x1f": "position 1", "shop\x7f": "position 5"} {
		_, err := sparkloop.New(testKey, sparkloop.WithUserAgent(name))
		require.ErrorContains(t, err, position)
	}
}

// By default a pause between attempts is at most 30 s, and grows beyond a second.
func TestTheDefaultBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var came []time.Time
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			came = append(came, time.Now())
			return jsonResponder(503, "")(r)
		})
		c, err := sparkloop.New(testKey, sparkloop.WithHTTPClient(&http.Client{Transport: rt}), sparkloop.WithRetries(20), sparkloop.WithTimeout(time.Hour))
		require.NoError(t, err)
		_, err = c.Conversions.Confirm(t.Context(), tracking)
		require.Error(t, err)
		require.Len(t, came, 21)
		var longest time.Duration
		for i, at := range came[1:] {
			longest = max(longest, at.Sub(came[i]))
		}
		assert.Greater(t, longest, time.Second)
		assert.LessOrEqual(t, longest, 30*time.Second)
	})
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://api.sparkloop.app/api/v2", "https://api.sparkloop.app/api/v2/", "https://10.0.0.1:8443", "https://[2001:db8::1]/v2",
		"http://localhost:8080/api/v2", "http://127.0.0.1:8080", "http://127.8.8.8", "http://[::1]:80/v2", "http://fake:8080", "http://localhost",
	} {
		_, err := sparkloop.New(testKey, sparkloop.WithBaseURL(good))
		require.NoError(t, err, good)
	}
	for bad, want := range map[string]string{
		"":                               "must begin with https://",
		"api.sparkloop.app/v2":           "must begin with https://",
		"ftp://api.sparkloop.app":        "must begin with https://",
		"https:api.sparkloop.app":        "must begin with https://",
		"https://":                       "has no host",
		"https:///v2":                    "has no host",
		"https://:443/v2":                "has no host",
		"https://a.example/v2?x=1":       "no query and no fragment",
		"https://a.example/v2?":          "no query and no fragment",
		"https://a.example/v2#x":         "no query and no fragment",
		"https://a.example/v2#":          "no query and no fragment",
		"https://u:hunter2@a.example/v2": "user name and password",
		"https://hunter2@a.example/v2":   "user name and password",
		"https://a.example:hunter2/v2":   "is not a URL",
		"https://a\x00hunter2.example":   "is not a URL",
		"http://api.sparkloop.app/v2":    "must be https: plain http would show the API key to the network on the way to api.sparkloop.app",
		"http://10.0.0.1":                "must be https",
		"http://0.0.0.0":                 "must be https",
		"http://2130706433":              "must be https",
		"http://0x7f000001":              "must be https",
		"http://[2001:db8::1]":           "must be https",
		"http://[fe80::1%25eth0]":        "must be https",
		"http://api.localhost":           "must be https",
		"http://api。example。com":         "must be https",
		"http://api．example．com":         "must be https",
		"http://localhost.evil.example":  "must be https",
		"https://h/你/%2F":                "must be percent-encoded",
	} {
		_, err := sparkloop.New(testKey, sparkloop.WithBaseURL(bad))
		require.ErrorContains(t, err, "sparkloop: WithBaseURL: ", bad)
		require.ErrorContains(t, err, want, bad)
		assert.NotContains(t, err.Error(), "hunter2", "no password in an error")
	}
}

func TestTheLastOptionWins(t *testing.T) {
	t.Parallel()
	m := mockConfirm(jsonResponder(503, ``))
	c := newClient(t, m, sparkloop.WithRetries(7), sparkloop.WithRetries(1))
	_, err := c.Conversions.Confirm(t.Context(), tracking)
	assert.Equal(t, 2, asError(t, err).Attempts)

	copied, err := c.With(sparkloop.WithRetries(0))
	require.NoError(t, err)
	_, err = copied.Conversions.Confirm(t.Context(), tracking)
	assert.Equal(t, 1, asError(t, err).Attempts)
	_, err = c.Conversions.Confirm(t.Context(), tracking)
	assert.Equal(t, 2, asError(t, err).Attempts, "the client itself is as it was")

	other := mockConfirm(jsonResponder(200, `{}`))
	copied, err = c.With(sparkloop.WithHTTPClient(&http.Client{Transport: other}))
	require.NoError(t, err)
	_, err = copied.Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	assert.Equal(t, 1, other.GetTotalCallCount())
}

// The two services of a copy use the copy's options, not those of the original.
func TestACopyWithAnotherBase(t *testing.T) {
	t.Parallel()
	var hosts []string
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		return jsonResponder(200, `{"offers":[]}`)(r)
	})
	c := newClient(t, rt)
	copied, err := c.With(sparkloop.WithBaseURL("https://staging.example/v2"))
	require.NoError(t, err)
	for _, c := range []*sparkloop.Client{c, copied, c} {
		_, err = c.Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
		_, err = c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		require.NoError(t, err)
	}
	assert.Equal(t, []string{
		"api.sparkloop.app", "api.sparkloop.app", "staging.example", "staging.example", "api.sparkloop.app", "api.sparkloop.app",
	}, hosts)
}

// fullLimiter has no free slot.
type fullLimiter struct{ nopLimiter }

func (*fullLimiter) Wait(context.Context) error { return context.DeadlineExceeded }

func TestWithLimiter(t *testing.T) {
	t.Parallel()
	m := mockConfirm(jsonResponder(200, `{}`))
	_, err := newClient(t, m, sparkloop.WithLimiter(&nopLimiter{})).Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	_, err = newClient(t, m, sparkloop.WithLimiter(&fullLimiter{})).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrRateLimited)
	assert.Equal(t, 1, m.GetTotalCallCount())
}

func TestExtremeOptionsDoNotOverflow(t *testing.T) {
	t.Parallel()
	m := mockConfirm(jsonResponder(200, `{}`))
	for _, opts := range [][]sparkloop.Option{
		{sparkloop.WithTimeout(math.MaxInt64)},
		{sparkloop.WithBackoff(math.MaxInt64, math.MaxInt64)},
		{sparkloop.WithRetries(math.MaxInt)},
	} {
		c := newClient(t, m, opts...)
		_, err := c.Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
	}
}

// The defaults match the comments: three retries, pauses from half of 500 ms,
// 10 s in all, 120 requests a minute.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var came []time.Time
			rt := roundTrip(func(r *http.Request) (*http.Response, error) {
				came = append(came, time.Now())
				return jsonResponder(503, ``)(r)
			})
			c, err := sparkloop.New(testKey, sparkloop.WithHTTPClient(&http.Client{Transport: rt}))
			require.NoError(t, err)
			_, err = c.Conversions.Confirm(t.Context(), tracking)
			require.Error(t, err)
			require.Len(t, came, 4)
			for n := range 3 {
				gap := came[n+1].Sub(came[n])
				assert.GreaterOrEqual(t, gap, 250*time.Millisecond)
				assert.LessOrEqual(t, gap, 500*time.Millisecond<<n)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		n := 0
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			n++
			return jsonResponder(200, `{}`)(r)
		})
		c, err := sparkloop.New(testKey, sparkloop.WithHTTPClient(&http.Client{Transport: rt}))
		require.NoError(t, err)
		for err == nil {
			_, err = c.Conversions.Confirm(t.Context(), tracking)
		}
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		assert.Equal(t, 120, n)
	})
}

func TestWithNeedsAClientOfNew(t *testing.T) {
	t.Parallel()
	var none *sparkloop.Client
	for _, c := range []*sparkloop.Client{none, {}} {
		_, err := c.With(sparkloop.WithRetries(1))
		require.EqualError(t, err, "sparkloop: With: the client was not made by New")
	}
}

func TestRateLimitTellsTheNumbersInForce(t *testing.T) {
	t.Parallel()
	c, err := sparkloop.New("key")
	require.NoError(t, err)
	numbers := func(opts ...sparkloop.Option) string {
		with, err := c.With(opts...)
		require.NoError(t, err)
		requests, window := with.RateLimit()
		return fmt.Sprint(requests, " per ", window)
	}
	assert.Equal(t, "120 per 1m0s", numbers())
	assert.Equal(t, "60 per 30s", numbers(sparkloop.WithRateLimit(60, 30*time.Second)))
	assert.Equal(t, "0 per 0s", numbers(sparkloop.WithRateLimit(0, 0)))
	assert.Equal(t, "0 per 0s", numbers(sparkloop.WithLimiter(unlimited{})))
	assert.Equal(t, "5 per 1s", numbers(sparkloop.WithLimiter(unlimited{}), sparkloop.WithRateLimit(5, time.Second)))
}

// unlimited is a caller's limiter.
type unlimited struct{}

func (unlimited) Wait(context.Context) error                 { return nil }
func (unlimited) Pause(context.Context, time.Duration) error { return nil }
