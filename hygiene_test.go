package sparkloop_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/keytest"
)

// echo answers with the received key in every part of an answer.
func echo(status int, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		key := r.Header.Get("X-Api-Key")
		return &http.Response{
			StatusCode: status,
			Status:     key,
			Header: http.Header{
				"X-Echo": {"your key is " + key}, "X-" + key: {"x"}, "Location": {"https://" + key + ".example/?k=" + key},
				"Retry-After": {key}, "Set-Cookie": {"k=" + key}, "Www-Authenticate": {key},
			},
			Trailer: http.Header{key: {key}},
			Body:    io.NopCloser(strings.NewReader(strings.ReplaceAll(body, "KEY", key))),
			Request: r,
		}, nil
	}
}

// fails breaks a connection with an error that contains the key.
func fails(err error) roundTrip {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// failures are failures that repeat the key.
func failures() map[string]roundTrip {
	all := map[string]roundTrip{
		"a malformed answer": fails(fmt.Errorf("net/http: malformed HTTP response %q: %w", "X-Api-Key: "+marked, net.ErrClosed)),
		"a URL":              fails(&url.Error{Op: "Post", URL: "https://" + marked + "@proxy.example/", Err: errors.New("proxy says " + marked)}),
		"a name":             fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: marked + ".example", IsNotFound: true}}),
		"a certificate":      fails(&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{marked}}, Host: marked}}),
		"a cut body": func(r *http.Request) (*http.Response, error) {
			resp, err := echo(200, `{"message":"KEY`)(r)
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, cutHere{}))
			return resp, err
		},
		"no JSON":      echo(200, `KEY<html>KEY`),
		"a wrong type": echo(200, `{"error":{"KEY":["KEY"]},"KEY":1}`),
		"an offer":     echo(200, `{"message":"KEY","error":"","offers":"KEY","offer":"KEY"}`),
	}
	for _, status := range []int{0, 204, 302, 401, 404, 422, 429, 503} {
		all[fmt.Sprint(status)] = echo(status, `{"message":"hello KEY","error":"User KEY not found","key":"KEY"}`)
	}
	for _, message := range []string{"Submission KEY not found", "Submission KEY must be unique"} {
		all[message] = echo(422, `{"error":"KEY `+message+`"}`)
	}
	return all
}

// A call uses something that the package exports. Its results are searched for
// the key.
type call = func(t *testing.T, c *sparkloop.Client) []any

// alone are the calls that send nothing, some with the key in a wrong place.
var alone = map[string]call{
	"New": func(*testing.T, *sparkloop.Client) []any {
		var all []any
		for _, bad := range []string{marked + " ", "\n" + marked, marked + "\x00", strings.Repeat(marked, 50)} {
			c, err := sparkloop.New(bad)
			all = append(all, c, err)
		}
		c, err := sparkloop.New(marked)
		return append(all, c, err)
	},
	"Client.With": func(t *testing.T, c *sparkloop.Client) []any {
		copied, err := c.With(sparkloop.WithRetries(0))
		require.NoError(t, err)
		_, bad := c.With(nil)
		return []any{copied, copied.Offers, copied.Conversions, bad}
	},
	"Client.BaseURL": func(_ *testing.T, c *sparkloop.Client) []any { return []any{c.BaseURL()} },
	"Client.RateLimit": func(_ *testing.T, c *sparkloop.Client) []any {
		n, window := c.RateLimit()
		return []any{n, window}
	},
	"WithBaseURL":    options(sparkloop.WithBaseURL("https://"+marked+"@host.example"), sparkloop.WithBaseURL("https://host.example?k="+marked), sparkloop.WithBaseURL(marked)),
	"WithHTTPClient": options(sparkloop.WithHTTPClient(nil)),
	"WithLimiter":    options(sparkloop.WithLimiter(nil)),
	"WithLogger":     options(sparkloop.WithLogger(nil)),
	"WithRateLimit":  options(sparkloop.WithRateLimit(-1, time.Minute), sparkloop.WithRateLimit(1, 0)),
	"WithRetries":    options(sparkloop.WithRetries(-1)),
	"WithTimeout":    options(sparkloop.WithTimeout(-1)),
	"WithBackoff":    options(sparkloop.WithBackoff(2, 1)),
	"WithUserAgent":  options(sparkloop.WithUserAgent("shop "+marked+"\r\n"), sparkloop.WithUserAgent(" ")),

	"ParseTracking": func(*testing.T, *sparkloop.Client) []any {
		_, err := sparkloop.ParseTracking("https://" + marked + "/?submission=" + marked + "!&offer=" + marked + "!")
		return []any{err}
	},
	"TrackingFromRequest": func(*testing.T, *sparkloop.Client) []any {
		_, err := sparkloop.TrackingFromRequest(&http.Request{URL: &url.URL{RawQuery: "offer=" + marked + "&offer=x"}, Header: http.Header{"X-Api-Key": {marked}}})
		return []any{err}
	},
	"TrackingFromMetadata": func(*testing.T, *sparkloop.Client) []any {
		_, err := sparkloop.TrackingFromMetadata(map[string]string{"key": marked, "sparkloop_tracking": marked})
		return []any{err}
	},
	"DecodeTracking": func(*testing.T, *sparkloop.Client) []any {
		_, err := sparkloop.DecodeTracking("v1." + marked + ".s." + marked)
		return []any{err}
	},
	"FirstLive": func(*testing.T, *sparkloop.Client) []any {
		return []any{sparkloop.FirstLive(sparkloop.Tracking{Offer: marked + "!", Submission: "s"})}
	},
	"Tracking.Scan": func(*testing.T, *sparkloop.Client) []any {
		var t sparkloop.Tracking
		kept := t.Scan(marked)
		return []any{kept, t.Scan([]string{marked}), t.Validate()}
	},
	"Tracking.UnmarshalJSON": func(*testing.T, *sparkloop.Client) []any {
		var t sparkloop.Tracking
		return []any{t.UnmarshalJSON([]byte(`"` + marked + `"`)), t.UnmarshalJSON([]byte(`{"offer":"` + marked + `!"}`)), t}
	},
	"Tracking.MarshalJSON": misplaced(func(t sparkloop.Tracking) (any, error) { return t.MarshalJSON() }),
	"Tracking.Value":       misplaced(func(t sparkloop.Tracking) (any, error) { return t.Value() }),
	"Tracking.UnmarshalText": func(*testing.T, *sparkloop.Client) []any {
		var t sparkloop.Tracking
		return []any{t.UnmarshalText([]byte(marked)), t.UnmarshalText([]byte("v1." + marked + "!.s.1")), t}
	},
	"Tracking.UnmarshalBinary": func(*testing.T, *sparkloop.Client) []any {
		var t sparkloop.Tracking
		return []any{t.UnmarshalBinary([]byte(marked)), t.Validate(), t.String(), t.LogValue().String()}
	},
	"Tracking.MarshalText":   misplaced(func(t sparkloop.Tracking) (any, error) { return t.MarshalText() }),
	"Tracking.MarshalBinary": misplaced(func(t sparkloop.Tracking) (any, error) { return t.MarshalBinary() }),
	"Tracking.String":        misplaced(func(t sparkloop.Tracking) (any, error) { return t.String(), nil }),
	"Tracking.LogValue":      misplaced(func(t sparkloop.Tracking) (any, error) { return t.LogValue(), nil }),
	"Tracking.Validate":      misplaced(func(t sparkloop.Tracking) (any, error) { return nil, t.Validate() }),
	"Tracking.Encode":        misplaced(func(t sparkloop.Tracking) (any, error) { return t.Encode(), nil }),
	"Tracking.Metadata":      misplaced(func(t sparkloop.Tracking) (any, error) { return t.Metadata(), nil }),
	"Tracking.ExpiresAt":     misplaced(func(t sparkloop.Tracking) (any, error) { return t.ExpiresAt(), nil }),
	"Tracking.IsZero":        misplaced(func(t sparkloop.Tracking) (any, error) { return t.IsZero(), nil }),
	"Tracking.Key":           func(*testing.T, *sparkloop.Client) []any { return []any{tracking, tracking.Key()} },

	"USD.String": amount, "USD.MarshalJSON": amount, "USD.UnmarshalJSON": amount,
	"ConversionType.UnmarshalText": func(*testing.T, *sparkloop.Client) []any {
		var c sparkloop.ConversionType
		return []any{c.UnmarshalText([]byte("Action")), c}
	},
}

// sending are the calls to the API, with everything that their errors offer.
var sending = map[string]call{
	"ConversionsService.Confirm": func(t *testing.T, c *sparkloop.Client) []any {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		one, err := c.Conversions.Confirm(t.Context(), tracking)
		_, endedErr := c.Conversions.Confirm(ended, tracking)
		_, nilErr := c.Conversions.Confirm(nil, tracking) //nolint:staticcheck // a mistake that happens
		_, badErr := c.Conversions.Confirm(t.Context(), sparkloop.Tracking{Offer: marked + "!", Submission: "s"})
		return []any{one, err, endedErr, nilErr, badErr}
	},
	"OffersService.List": func(t *testing.T, c *sparkloop.Client) []any {
		page, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		_, badErr := c.Offers.List(t.Context(), sparkloop.ListOffersParams{Page: -1})
		return []any{page, err, badErr}
	},
	"OffersService.Get": func(t *testing.T, c *sparkloop.Client) []any {
		offer, err := c.Offers.Get(t.Context(), "offer_1")
		_, badErr := c.Offers.Get(t.Context(), marked+"!")
		return []any{offer, err, badErr}
	},
	"OffersService.All": func(t *testing.T, c *sparkloop.Client) (all []any) {
		for offer, err := range c.Offers.All(t.Context()) {
			all = append(all, offer, err)
		}
		return all
	},
	"Error.Error": ofError(func(e *sparkloop.Error) []any { return []any{e.Error(), e.Message, e.Path, e.Header, string(e.Body)} }),
	"Retryable":   ofError(func(e *sparkloop.Error) []any { return []any{sparkloop.Retryable(e)} }),
	"RetryAfter": ofError(func(e *sparkloop.Error) []any {
		wait, ok := sparkloop.RetryAfter(e)
		return []any{wait, ok}
	}),
	"Error.Unwrap": ofError(func(e *sparkloop.Error) (all []any) {
		for _, inner := range e.Unwrap() {
			for ; inner != nil; inner = errors.Unwrap(inner) {
				all = append(all, inner)
			}
		}
		return all
	}),
}

// options returns the options themselves, and the errors of New and With for
// them.
func options(opts ...sparkloop.Option) call {
	return func(t *testing.T, c *sparkloop.Client) []any {
		var all []any
		for _, opt := range opts {
			_, err := c.With(opt)
			require.Error(t, err)
			_, newErr := sparkloop.New(marked, opt)
			all = append(all, opt, err, newErr)
		}
		return all
	}
}

// ofError returns what the error of a call offers.
func ofError(f func(*sparkloop.Error) []any) call {
	return func(t *testing.T, c *sparkloop.Client) []any {
		_, err := c.Conversions.Confirm(t.Context(), tracking)
		var e *sparkloop.Error
		if !errors.As(err, &e) {
			return nil
		}
		return f(e)
	}
}

func misplaced(f func(sparkloop.Tracking) (any, error)) call {
	return func(*testing.T, *sparkloop.Client) []any {
		v, err := f(sparkloop.Tracking{Offer: marked + "!", Submission: marked})
		return []any{v, err}
	}
}

func amount(*testing.T, *sparkloop.Client) []any {
	var u sparkloop.USD
	err := u.UnmarshalJSON([]byte(`"` + marked + `"`))
	data, _ := u.MarshalJSON()
	return []any{err, u, u.String(), data}
}

// loud is a limiter whose errors repeat the key, and which prints the stack.
type loud struct {
	look func(stack string)
	deny bool
}

func (l loud) Wait(context.Context) error {
	l.look(string(debug.Stack()))
	if l.deny {
		return fmt.Errorf("redis://:%s@limits.example: %w", marked, context.DeadlineExceeded)
	}
	return nil
}

func (loud) Pause(context.Context, time.Duration) error { return errors.New("cannot pause: " + marked) }

// Every function and method runs with each failure, logging everything. No
// result contains the key.
func TestTheKeyIsNowhere(t *testing.T) {
	t.Parallel()
	listing, err := os.ReadFile(".ci/api.txt")
	require.NoError(t, err)
	own, _, _ := strings.Cut(string(listing), "\npackage capture")
	var exported []string
	for _, m := range regexp.MustCompile(`(?m)^func (?:\(\w+ \*?(\w+)\) )?(\w+)\(`).FindAllStringSubmatch(own, -1) {
		exported = append(exported, strings.TrimPrefix(m[1]+"."+m[2], "."))
	}
	require.ElementsMatch(t, exported, slices.Concat(slices.Collect(maps.Keys(alone)), slices.Collect(maps.Keys(sending))),
		"what the package exports, and what is tried here")

	s := keytest.New(t)
	stack := func(stack string) { s.Text("the stack", stack) }
	client := func(rt http.RoundTripper, limiter loud) *sparkloop.Client {
		c, err := sparkloop.New(marked, sparkloop.WithHTTPClient(&http.Client{Transport: rt}), sparkloop.WithBackoff(1, 2),
			sparkloop.WithLimiter(limiter), sparkloop.WithLogger(s.Logger()), sparkloop.WithRetries(1))
		require.NoError(t, err)
		return c
	}
	look := func(name string, c *sparkloop.Client, calls map[string]call) {
		for call, f := range calls {
			s.Values(name+": "+call, f(t, c)...)
		}
	}
	for name, rt := range failures() {
		look(name, client(rt, loud{stack, false}), sending)
	}
	refusing := client(echo(200, `{}`), loud{stack, true})
	look("a limiter", refusing, sending)
	look("nothing sent", refusing, alone)
	used := client(echo(401, `{"error":"KEY"}`), loud{stack, false})
	look("used", used, sending)
	s.Values("a used client", used, used.Offers, used.Conversions)
	assert.Contains(t, s.Log(), "sparkloop: attempt")
	assert.Contains(t, s.Log(), "sparkloop: giving up")
	assert.Contains(t, s.Log(), "the limiter could not pause")

	confirmation, err := newClientWithKey(t, marked, echo(200, `{"message":"welcome KEY"}`)).Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	assert.Equal(t, "welcome [redacted]", confirmation.Message)
}

// Redacting an error's text keeps the errors that it matches.
func TestAnErrorWithoutTheKeyIsStillTheSame(t *testing.T) {
	t.Parallel()
	_, err := newClientWithKey(t, marked, failures()["a malformed answer"]).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorContains(t, err, `malformed HTTP response "X-Api-Key: [redacted]"`)
}

// A panic prints the value and every goroutine's stack.
func TestAPanicShowsNoKey(t *testing.T) {
	t.Parallel()
	const variable = "SPARKLOOP_TEST_PANIC"
	values := map[string]func() any{
		"client": func() any { return newClientWithKey(t, marked, echo(401, `{"error":"KEY"}`)) },
		"copy":   func() any { return *newClientWithKey(t, marked, echo(401, `{"error":"KEY"}`)) },
		"error": func() any {
			_, err := newClientWithKey(t, marked, echo(401, `{"error":"KEY"}`)).Conversions.Confirm(t.Context(), tracking)
			return err
		},
		"in a call": func() any {
			c := newClientWithKey(t, marked, roundTrip(func(*http.Request) (*http.Response, error) { panic("in a call") }))
			_, err := c.Conversions.Confirm(t.Context(), tracking)
			return err
		},
	}
	if which := os.Getenv(variable); which != "" {
		panic(values[which]())
	}
	s := keytest.New(t)
	for which := range values {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAPanicShowsNoKey$")
		cmd.Env = append(os.Environ(), variable+"="+which, "GOTRACEBACK=system")
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "panic: ")
		assert.Contains(t, string(out), "goroutine ")
		s.Text("a panic with "+which, string(out))
	}
}
