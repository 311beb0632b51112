package sparkloop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
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

// What an answer means: the status, the body, the sentinel or nil, whether it
// is worth another call, and how many requests one call makes of it.
func TestAnswersToAConfirmation(t *testing.T) {
	t.Parallel()
	const already = "already"
	for _, tt := range []struct {
		status    int
		body      string
		want      error
		message   string
		retryable bool
		attempts  int
	}{
		{200, `{"message":"Conversion tracked successfully"}`, nil, "Conversion tracked successfully", false, 1},
		{201, ` {"message":null,"error":null,"new":1} `, nil, "", false, 1},
		{200, `{}`, nil, "", false, 1},
		{200, `{"error":""}`, nil, "", false, 1},
		{200, `{"message":7,"error":false}`, nil, "", false, 1},
		{200, `{"message":"a\u0000b\nc"}`, nil, "a b c", false, 1},

		{422, `{"error":"Offer submission must be unique"}`, nil, already, false, 1},
		{400, `{"error":"offer submission must be UNIQUE."}`, nil, already, false, 1},
		{409, `{"error":"Validation failed: Offer submission submission_1 must be unique"}`, nil, already, false, 1},
		{404, `{"error":"Offer submission must be unique"}`, nil, already, false, 1},

		{422, `{"error":"Offer submission must be an action"}`, sparkloop.ErrNotActionOffer, "Offer submission must be an action", false, 1},
		{404, `{"error":"Offer not found"}`, sparkloop.ErrOfferNotFound, "Offer not found", false, 1},
		{404, `{"error":"OFFER offer_1234abcd not found.."}`, sparkloop.ErrOfferNotFound, "OFFER offer_1234abcd not found..", false, 1},
		{404, `{"error":"Submission not found"}`, sparkloop.ErrSubmissionNotFound, "Submission not found", false, 1},
		{422, `{"error":"Offer submission submission_1 not found."}`, sparkloop.ErrSubmissionNotFound, "Offer submission submission_1 not found.", false, 1},
		{404, `{"error":"offer submission not found"}`, sparkloop.ErrSubmissionNotFound, "offer submission not found", false, 1},

		// Final in words that nobody has seen yet.
		{422, `{"error":"Offer submission has expired"}`, nil, "Offer submission has expired", false, 1},
		{410, `{"error":{"code":7}}`, nil, `{"code":7}`, false, 1},
		{400, `{"error":["a","b"]}`, nil, `["a","b"]`, false, 1},

		// Not about this conversion, or not SparkLoop's word.
		{401, `{"error":"API key is missing!"}`, sparkloop.ErrUnauthorized, "API key is missing!", true, 1},
		{401, ``, sparkloop.ErrUnauthorized, "", true, 1},
		{401, `{"error":"Submission not found"}`, sparkloop.ErrUnauthorized, "Submission not found", true, 1},
		{403, `{"error":"Submission not found"}`, nil, "Submission not found", true, 1},
		{403, `<html>blocked</html>`, nil, "", true, 1},
		{407, `{"error":"proxy"}`, nil, "proxy", true, 1},
		{422, `<html>a proxy's</html>`, nil, "", true, 1},
		{422, `{"error":""}`, nil, "", true, 1},
		{422, `{"message":"no"}`, nil, "", true, 1},
		{400, ``, nil, "", true, 1},
		{501, `{"error":"no"}`, nil, "no", true, 1},
		{408, `{"error":"timeout"}`, nil, "timeout", true, 4},
		{425, ``, nil, "", true, 4},
		{429, `{"error":"Too many requests"}`, sparkloop.ErrRateLimited, "Too many requests", true, 4},
		{429, ``, sparkloop.ErrRateLimited, "", true, 4},
		{500, `{"error":"Offer submission must be unique"}`, nil, "Offer submission must be unique", true, 4},
		{503, `<html>`, nil, "", true, 4},

		// A 2xx that is no success.
		{200, ``, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{204, ``, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{200, `<!doctype html>`, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{200, `[]`, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{200, `null`, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{200, `{"message":"Conv`, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{200, `{"message":"ok"} trailing`, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{200, `{"error":"Offer submission must be unique"}`, sparkloop.ErrUnexpectedResponse, "Offer submission must be unique", true, 1},
		{200, `{"error":{"code":7}}`, sparkloop.ErrUnexpectedResponse, `{"code":7}`, true, 1},
		{302, ``, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{304, ``, sparkloop.ErrUnexpectedResponse, "", true, 1},
		{600, `{"error":"x"}`, sparkloop.ErrUnexpectedResponse, "", true, 1},
	} {
		t.Run(strings.TrimSpace(http.StatusText(tt.status)+" "+tt.body), func(t *testing.T) {
			t.Parallel()
			m := mockConfirm(jsonResponder(tt.status, tt.body))
			confirmation, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
			assert.Equal(t, tt.attempts, m.GetTotalCallCount())
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
			assert.Equal(t, tt.retryable, sparkloop.Retryable(err))
			for _, sentinel := range sentinels {
				assert.Equal(t, sentinel == tt.want, errors.Is(err, sentinel), "%v", sentinel) //nolint:errorlint // the very one
			}
			e := asError(t, err)
			if tt.status < 600 {
				assert.Equal(t, tt.message, e.Message)
			}
			assert.Equal(t, tt.status, e.StatusCode)
			assert.Equal(t, tt.attempts, e.Attempts)
			assert.Equal(t, http.MethodPost, e.Method)
			assert.Equal(t, "/api/v2"+confirmPath, e.Path)
			assert.Equal(t, tt.body, string(e.Body))
			assert.Equal(t, "application/json; charset=utf-8", e.Header.Get("Content-Type"))
		})
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
		assert.GreaterOrEqual(t, time.Since(start), 12*time.Second, "a context's deadline goes before it, also a longer one")
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

	// With the real thing: a server that speaks no TLS, one with a wrong
	// certificate, one that is gone.
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
		"endless success": {200, `{"message":"`, endless{}, "the body is larger than 8 MiB", 1},
		"endless refusal": {422, `{"error":"`, endless{}, "the body is larger than 8 MiB", 1},
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
		require.EqualError(t, err, "sparkloop: confirm offer_1234abcd/submission_1234abcd: "+want)
		require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
		assert.Equal(t, 1, m.GetTotalCallCount())
	}
}

// A whole JSON object and then a broken connection: who knows what was cut off.
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
	require.ErrorContains(t, err, "more values than any of the API's")
}

// What a mistaken network error says is too long to show, and can still be matched.
func TestALongErrorIsShortenedAndKept(t *testing.T) {
	t.Parallel()
	long := &tls.CertificateVerificationError{Err: errors.New(strings.Repeat("host.example, ", 100))}
	m := mockConfirm(func(*http.Request) (*http.Response, error) { return nil, long })
	_, err := newClient(t, m).Conversions.Confirm(t.Context(), tracking)
	var got *tls.CertificateVerificationError
	require.ErrorAs(t, err, &got)
	assert.Less(t, len(err.Error()), 700)
}
