package sparkloop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	var got *http.Request
	m := mockConfirm(func(r *http.Request) (*http.Response, error) {
		got = r
		return jsonResponder(200, `{"message":"Conversion tracked successfully"}`)(r)
	})
	c := newClient(t, m, sparkloop.WithUserAgent("acme-shop/2.1"))
	confirmation, err := c.Conversions.Confirm(t.Context(), tracking)
	require.NoError(t, err)
	assert.Equal(t, &sparkloop.Confirmation{Message: "Conversion tracked successfully"}, confirmation)
	assert.Equal(t, http.Header{
		"X-Api-Key": {testKey}, "Accept": {"application/json"}, "Content-Type": {"application/json; charset=utf-8"},
		"User-Agent": {"acme-shop/2.1 sparkloop-go/0.1.0"},
	}, got.Header)
	assert.Nil(t, got.Body)
	assert.Empty(t, got.URL.RawQuery)
}

// When an answer is final.
const (
	never    = iota
	ifProven // if the form of the endpoint is proven
	always
)

// The meaning of each answer: the status, the body, the sentinel or nil, the
// message, when it is final, and the requests of one call before and after a
// form of the endpoint is proven.
var answers = []struct {
	status           int
	body             string
	want             error
	message          string
	final            int
	unproven, proven int
}{
	{200, `{"message":"Conversion tracked successfully"}`, nil, "Conversion tracked successfully", never, 1, 1},
	{201, ` {"message":null,"error":null,"new":1} `, nil, "", never, 1, 1},
	{200, `{}`, nil, "", never, 1, 1},
	{200, `{"error":""}`, nil, "", never, 1, 1},
	{200, `{"message":7,"error":false}`, nil, "", never, 1, 1},
	{200, `{"message":"a\u0000b\nc"}`, nil, "a b c", never, 1, 1},
	{200, `{"success":true,"ok":true,"status":200,"errors":[],"error":{},"message":"ok"}`, nil, "ok", never, 1, 1},
	{200, `{"success":null,"ok":"yes","status":"ok","errors":null}`, nil, "", never, 1, 1},
	{202, `{"status":"confirmed","message":"The offer was found"}`, nil, "The offer was found", never, 1, 1},

	{422, `{"error":"Offer submission must be unique"}`, nil, already, always, 1, 1},
	{400, `{"error":"offer submission must be UNIQUE."}`, nil, already, always, 1, 1},
	{409, `{"error":"Offer  submission submission_1 must be unique.."}`, nil, already, always, 1, 1},
	{404, `{"error":"Offer submission must be unique"}`, nil, already, always, 1, 1},
	{422, `{"message":"Offer submission must be unique"}`, nil, already, always, 1, 1},
	{422, `{"errors":["Offer submission must be unique"]}`, nil, already, always, 1, 1},
	{422, `{"errors":{"base":["Offer submission must be unique"]}}`, nil, already, always, 1, 1},
	{422, `{"errors":{"offer_submission":["must be unique"]}}`, nil, already, always, 1, 1},
	{422, `{"error":"Unprocessable Entity","message":"Offer submission must be unique"}`, nil, already, always, 1, 1},
	{422, `{"error":{"code":"taken","message":"Offer submission must be unique"}}`, nil, already, always, 1, 1},
	{422, `{"errors":[{"title":"Unprocessable Content","detail":"Offer submission must be unique"}]}`, nil, already, always, 1, 1},

	{422, `{"error":"Offer submission must be an action"}`, sparkloop.ErrNotActionOffer, "Offer submission must be an action", always, 1, 1},
	{404, `{"error":"Offer not found"}`, sparkloop.ErrOfferNotFound, "Offer not found", always, 1, 1},
	{404, `{"error":"OFFER offer_1234abcd not found.."}`, sparkloop.ErrOfferNotFound, "OFFER offer_1234abcd not found..", always, 1, 1},
	{404, `{"error":"Submission not found"}`, sparkloop.ErrSubmissionNotFound, "Submission not found", always, 1, 1},
	{422, `{"error":"Offer submission submission_1 not found."}`, sparkloop.ErrSubmissionNotFound, "Offer submission submission_1 not found.", always, 1, 1},
	{404, `{"error":"offer submission not found"}`, sparkloop.ErrSubmissionNotFound, "offer submission not found", always, 1, 1},
	{404, `{"message":"Submission not found","status":404}`, sparkloop.ErrSubmissionNotFound, "Submission not found", always, 1, 1},
	{404, `{"error":"RecordNotFound","message":"Submission not found"}`, sparkloop.ErrSubmissionNotFound, "RecordNotFound", always, 1, 1},
	{410, `{"errors":["Submission not found","Submission not found."]}`, sparkloop.ErrSubmissionNotFound, "Submission not found, Submission not found.", always, 1, 1},

	// Unknown texts are final if the form is proven.
	{422, `{"error":"Offer submission has expired"}`, nil, "Offer submission has expired", ifProven, 4, 1},
	{410, `{"error":{"code":7}}`, nil, `{"code":7}`, ifProven, 4, 1},
	{400, `{"error":["a","b"]}`, nil, `a, b`, ifProven, 4, 1},
	{409, `{"message":"no"}`, nil, "no", ifProven, 4, 1},
	{410, `{"error":"API v1 is retired, use /v2"}`, nil, "API v1 is retired, use /v2", ifProven, 4, 1},

	// A known message within a longer text, or two of them.
	{422, `{"error":"Your contact form submission must be unique"}`, nil, "Your contact form submission must be unique", ifProven, 4, 1},
	{422, `{"error":"Contact form: submission must be unique"}`, nil, "Contact form: submission must be unique", ifProven, 4, 1},
	{422, `{"error":"Offer submission must be an action and offer submission must be unique"}`, nil, "Offer submission must be an action and offer submission must be unique", ifProven, 4, 1},
	{422, `{"errors":["Offer submission must be an action","Offer submission must be unique"]}`, nil, "Offer submission must be an action, Offer submission must be unique", ifProven, 4, 1},
	{422, `{"error":"Submission not found","message":"Offer submission must be unique"}`, nil, "Submission not found", ifProven, 4, 1},
	{422, `{"errors":["Offer submission must be unique","Email is invalid"]}`, nil, "Offer submission must be unique, Email is invalid", ifProven, 4, 1},
	{422, `{"errors":{"form":{"submission":["must be unique"]}}}`, nil, "form submission must be unique", ifProven, 4, 1},
	{422, `{"error":"Offer submission must be unique within the page"}`, nil, "Offer submission must be unique within the page", ifProven, 4, 1},
	{422, `{"error":"Offer form submission must be unique"}`, nil, "Offer form submission must be unique", ifProven, 4, 1},

	// Not about this conversion, or not from SparkLoop.
	{401, `{"error":"API key is missing!"}`, sparkloop.ErrUnauthorized, "API key is missing!", never, 4, 1},
	{401, ``, sparkloop.ErrUnauthorized, "", never, 4, 1},
	{401, `{"error":"Submission not found"}`, sparkloop.ErrUnauthorized, "Submission not found", never, 4, 1},
	{402, `{"error":"Payment required"}`, nil, "Payment required", never, 4, 1},
	{403, `{"error":"Submission not found"}`, nil, "Submission not found", never, 4, 1},
	{403, `<html>blocked</html>`, nil, "", never, 4, 1},
	{404, `{"error":"Endpoint not found"}`, sparkloop.ErrEndpointNotFound, "Endpoint not found", never, 4, 4},
	{404, `{"error":"Cannot POST /api/v2/offers"}`, sparkloop.ErrEndpointNotFound, "Cannot POST /api/v2/offers", never, 4, 4},
	{404, `{"error":"Offer page not found"}`, sparkloop.ErrEndpointNotFound, "Offer page not found", never, 4, 4},
	{404, ``, sparkloop.ErrEndpointNotFound, "", never, 4, 4},
	{405, `{"error":"Only GET is allowed"}`, sparkloop.ErrEndpointNotFound, "Only GET is allowed", never, 4, 4},
	{406, `{"error":"no"}`, nil, "no", never, 4, 1},
	{407, `{"error":"proxy"}`, nil, "proxy", never, 4, 1},
	{413, `{"error":"no"}`, nil, "no", never, 4, 1},
	{421, `{"error":"no"}`, nil, "no", never, 4, 1},
	{423, `{"error":"no"}`, nil, "no", never, 4, 1},
	{426, `{"error":"Upgrade required"}`, nil, "Upgrade required", never, 4, 1},
	{431, `{"error":"no"}`, nil, "no", never, 4, 1},
	{451, `{"error":"no"}`, nil, "no", never, 4, 1},
	{499, `{"error":"no"}`, nil, "no", never, 4, 1},
	{422, `<html>a proxy's</html>`, nil, "", never, 4, 1},
	{422, `{"error":""}`, nil, "", never, 4, 1},
	{422, `{"code":7}`, nil, "", never, 4, 1},
	{400, ``, nil, "", never, 4, 1},
	{501, `{"error":"no"}`, nil, "no", never, 4, 1},
	{408, `{"error":"timeout"}`, nil, "timeout", never, 16, 4},
	{425, ``, nil, "", never, 16, 4},
	{507, ``, nil, "", never, 16, 4},
	{520, ``, nil, "", never, 16, 4},
	{429, `{"error":"Too many requests"}`, sparkloop.ErrRateLimited, "Too many requests", never, 4, 4},
	{429, ``, sparkloop.ErrRateLimited, "", never, 4, 4},
	{500, `{"error":"Offer submission must be unique"}`, nil, "Offer submission must be unique", never, 4, 4},
	{502, `<html>`, nil, "", never, 4, 4},
	{503, `<html>`, nil, "", never, 4, 4},
	{504, ``, nil, "", never, 4, 4},

	// A 2xx that is not a success.
	{200, ``, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{204, ``, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `<!doctype html>`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `[]`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `null`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"message":"Conv`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"message":"ok"} trailing`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"error":"Offer submission must be unique"}`, sparkloop.ErrUnexpectedResponse, "Offer submission must be unique", never, 1, 1},
	{200, `{"errors":["Submission not found"]}`, sparkloop.ErrUnexpectedResponse, "Submission not found", never, 1, 1},
	{200, `{"status":404,"message":"Submission not found"}`, sparkloop.ErrUnexpectedResponse, "Submission not found", never, 1, 1},
	{200, `{"message":"Submission not found"}`, sparkloop.ErrUnexpectedResponse, "Submission not found", never, 1, 1},
	{200, `{"error":{"code":7}}`, sparkloop.ErrUnexpectedResponse, `{"code":7}`, never, 4, 1},
	{200, `{"errors":[{"detail":"no"}],"message":"ok"}`, sparkloop.ErrUnexpectedResponse, "no", never, 4, 1},
	{200, `{"errors":{"base":[]}}`, sparkloop.ErrUnexpectedResponse, `{"base":[]}`, never, 4, 1},
	{200, `{"error":" "}`, sparkloop.ErrUnexpectedResponse, `" "`, never, 4, 1},
	{200, `{"success":false,"message":"try later"}`, sparkloop.ErrUnexpectedResponse, "try later", never, 4, 1},
	{200, `{"success":"False"}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"success":0,"success":1}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"ok":false}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"status":400}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"status":"503"}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"status":"ERROR"}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{200, `{"status":"fail","message":"ok"}`, sparkloop.ErrUnexpectedResponse, "ok", never, 4, 1},
	{302, ``, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{304, ``, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
	{600, `{"error":"x"}`, sparkloop.ErrUnexpectedResponse, "", never, 4, 1},
}

const already = "already"

func TestAnswersToAConfirmation(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		for _, proven := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s proven %t", tt.status, tt.body, proven), func(t *testing.T) {
				t.Parallel()
				m := mockConfirm(jsonResponder(tt.status, tt.body))
				attempts := tt.unproven
				if proven {
					m.RegisterResponder(http.MethodPost, guide+confirmPath, jsonResponder(200, `{}`).Then(jsonResponder(tt.status, tt.body)).
						Then(jsonResponder(tt.status, tt.body)).Then(jsonResponder(tt.status, tt.body)).Then(jsonResponder(tt.status, tt.body)))
					attempts = tt.proven
				}
				c := newClient(t, m)
				if proven {
					_, err := c.Conversions.Confirm(t.Context(), tracking)
					require.NoError(t, err)
					m.ZeroCallCounters()
				}
				confirmation, err := c.Conversions.Confirm(t.Context(), tracking)
				assert.Equal(t, attempts, m.GetTotalCallCount())
				if tt.message == already {
					require.NoError(t, err)
					assert.True(t, confirmation.AlreadyConfirmed)
					return
				}
				if err == nil {
					assert.Equal(t, &sparkloop.Confirmation{Message: tt.message}, confirmation)
					assert.NoError(t, tt.want)
					assert.Less(t, tt.status, 300)
					return
				}
				assert.Nil(t, confirmation)
				assert.Equal(t, tt.final == always || tt.final == ifProven && proven, !sparkloop.Retryable(err))
				for _, sentinel := range sentinels {
					assert.Equal(t, sentinel == tt.want, errors.Is(err, sentinel), "%v", sentinel) //nolint:errorlint // the very one
				}
				e := asError(t, err)
				assert.Equal(t, tt.message, e.Message)
				assert.Equal(t, tt.status, e.StatusCode)
				assert.Equal(t, attempts, e.Attempts)
				assert.Equal(t, http.MethodPost, e.Method)
				assert.Equal(t, "/api/v2"+confirmPath, e.Path)
				assert.Equal(t, tt.body, string(e.Body))
				assert.Equal(t, "application/json; charset=utf-8", e.Header.Get("Content-Type"))
			})
		}
	}
}

var sentinels = []error{
	sparkloop.ErrNoTracking, sparkloop.ErrInvalidTracking, sparkloop.ErrUnauthorized, sparkloop.ErrOfferNotFound, sparkloop.ErrSubmissionNotFound,
	sparkloop.ErrNotActionOffer, sparkloop.ErrRateLimited, sparkloop.ErrEndpointNotFound, sparkloop.ErrUnexpectedResponse,
}

func TestConfirmRefusesBadTrackings(t *testing.T) {
	t.Parallel()
	m := httpmock.NewMockTransport()
	c := newClient(t, m)
	for _, bad := range []sparkloop.Tracking{
		{Offer: "o"}, {Submission: "s"}, {Offer: "../x", Submission: "s"}, {Offer: "o", Submission: "a/b"}, {Offer: "o", Submission: "s\r\n"},
		{Offer: "o", Submission: strings.Repeat("s", 129)}, {Offer: "o", Submission: "s", CapturedAt: time.Unix(-5, 0)},
	} {
		_, err := c.Conversions.Confirm(t.Context(), bad)
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
		assert.False(t, sparkloop.Retryable(err))
		assert.NotContains(t, err.Error(), "../x")
	}
	_, err := c.Conversions.Confirm(t.Context(), sparkloop.Tracking{})
	require.ErrorIs(t, err, sparkloop.ErrNoTracking)
	require.EqualError(t, err, "sparkloop: confirm: no tracking")
	_, err = c.Conversions.Confirm(nil, tracking) //nolint:staticcheck // that is the mistake
	require.EqualError(t, err, "sparkloop: confirm offer_1234abcd/submission_1234abcd: the context is nil")
	assert.Zero(t, m.GetTotalCallCount(), "nothing was sent")
}

func TestConfirmNeverRefusesOnAge(t *testing.T) {
	t.Parallel()
	old := tracking
	old.CapturedAt = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := newClient(t, mockConfirm(jsonResponder(200, `{}`))).Conversions.Confirm(t.Context(), old)
	require.NoError(t, err)
}

func TestTheTimeoutIsForTheWholeCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		s.Fail(sparklooptest.Delay(4*time.Second), -1)
		slow := func(opts ...sparkloop.Option) *sparkloop.Client {
			return s.Client(append(opts, sparkloop.WithHTTPClient(&http.Client{Transport: s.Transport(), Timeout: 3 * time.Second}))...)
		}
		_, t1 := s.Click("", "")

		start := time.Now()
		_, err := slow().Conversions.Confirm(t.Context(), t1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 10*time.Second, time.Since(start), "the default, not three tries of 3 s each")

		start = time.Now()
		_, err = slow(sparkloop.WithTimeout(5*time.Second)).Conversions.Confirm(t.Context(), t1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 5*time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		start = time.Now()
		_, err = slow().Conversions.Confirm(ctx, t1)
		require.Error(t, err)
		assert.GreaterOrEqual(t, time.Since(start), 12*time.Second, "a context deadline overrides it, even a later one")
	})
}

func TestNetworkErrors(t *testing.T) {
	t.Parallel()
	refused := mockConfirm(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED })
	_, err := newClient(t, refused).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.EqualError(t, err, "sparkloop: confirm offer_1234abcd/submission_1234abcd: connection refused (4 attempts)")
	assert.True(t, sparkloop.Retryable(err))
	e := asError(t, err)
	assert.Zero(t, e.StatusCode)
	assert.Nil(t, e.Header)
	assert.Equal(t, "/api/v2"+confirmPath, e.Path)

	// Real servers: without TLS, with a wrong certificate, closed.
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for address, attempts := range map[string]int{
		"https" + strings.TrimPrefix(plain.URL, "http"): 1,
		secure.URL: 1,
	} {
		c, err := sparkloop.New(testKey, sparkloop.WithBaseURL(address), sparkloop.WithBackoff(1, 2))
		require.NoError(t, err)
		_, err = c.Conversions.Confirm(t.Context(), tracking)
		e := asError(t, err)
		assert.Equal(t, attempts, e.Attempts, err)
		assert.True(t, sparkloop.Retryable(err))
	}
	c, err := sparkloop.New(testKey, sparkloop.WithBaseURL(secure.URL), sparkloop.WithBackoff(1, 2))
	require.NoError(t, err)
	_, err = c.Conversions.Confirm(t.Context(), tracking)
	var wrong *tls.CertificateVerificationError
	require.ErrorAs(t, err, &wrong)
}

func TestHugeAndCutAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status   int
		start    string
		then     io.Reader
		want     string
		attempts int
	}{
		"endless success": {200, `{"message":"`, endless{}, "the body is larger than 8 MiB", 4},
		"endless refusal": {422, `{"error":"`, endless{}, "the body is larger than 8 MiB", 4},
		"cut success":     {200, `{"message":"x`, cutHere{}, "unexpected EOF", 4},
		"cut refusal":     {422, `{"error":"x"}`, cutHere{}, "unexpected EOF", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mockConfirm(func(*http.Request) (*http.Response, error) {
				body := io.NopCloser(io.MultiReader(strings.NewReader(tt.start), tt.then))
				return &http.Response{StatusCode: tt.status, Header: http.Header{}, Body: body, ContentLength: -1}, nil
			})
			_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
			require.ErrorContains(t, err, tt.want)
			e := asError(t, err)
			assert.Equal(t, tt.status, e.StatusCode)
			assert.Equal(t, tt.attempts, e.Attempts)
			assert.LessOrEqual(t, len(e.Body), 64<<10)
			assert.True(t, strings.HasPrefix(string(e.Body), tt.start))
			assert.True(t, sparkloop.Retryable(err))
			assert.Equal(t, tt.status == 200 || tt.then == endless{}, errors.Is(err, sparkloop.ErrUnexpectedResponse))
		})
	}
}

type endless struct{}

var xs = bytes.Repeat([]byte("x"), 32<<10)

func (endless) Read(p []byte) (int, error) { return copy(p, xs), nil }

type cutHere struct{}

func (cutHere) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestARedirectIsNamedAndNotFollowed(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"https://evil.example/take":     "302 Found: unexpected response: a redirect to evil.example",
		"//evil.example/take":           "302 Found: unexpected response: a redirect to evil.example",
		"/login":                        "302 Found: unexpected response: a redirect to api.sparkloop.app",
		"http://[nonsense":              "302 Found: unexpected response",
		"https://" + testKey + ".evil/": "302 Found: unexpected response: a redirect to [redacted].evil",
	} {
		m := mockConfirm(jsonResponder(302, `{}`).HeaderSet(http.Header{"Location": {location}}))
		_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
		require.EqualError(t, err, "sparkloop: confirm offer_1234abcd/submission_1234abcd: "+want+" (4 attempts)")
		require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
		assert.Equal(t, 4, m.GetTotalCallCount(), "one for each form")
	}
}

// A whole JSON object and then a broken connection: the rest of the answer is
// unknown.
func TestACutSuccessIsNone(t *testing.T) {
	t.Parallel()
	m := mockConfirm(func(*http.Request) (*http.Response, error) {
		body := io.NopCloser(io.MultiReader(strings.NewReader(`{"message":"Conversion tracked successfully"}`), cutHere{}))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, ContentLength: -1}, nil
	})
	_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestTooManyValues(t *testing.T) {
	t.Parallel()
	m := mockConfirm(jsonResponder(200, `{"message":"ok","more":[`+strings.Repeat("0,", 100_001)+`0]}`))
	_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
	require.ErrorContains(t, err, "too many values")
}

// A long network error is shortened, and errors.Is still matches it.
func TestALongErrorIsShortenedAndKept(t *testing.T) {
	t.Parallel()
	long := &tls.CertificateVerificationError{Err: errors.New(strings.Repeat("host.example, ", 100))}
	m := mockConfirm(func(*http.Request) (*http.Response, error) { return nil, long })
	_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
	var got *tls.CertificateVerificationError
	require.ErrorAs(t, err, &got)
	assert.Less(t, len(err.Error()), 700)
}
