package sparkloop_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

const (
	testKey = "key-for-tests"

	guide     = "https://api.sparkloop.app/api/v2"
	reference = "https://api.sparkloop.app/v2"
)

var (
	tracking = sparkloop.Tracking{Offer: "offer_1234abcd", Submission: "submission_1234abcd"}

	confirmPath = "/offers/offer_1234abcd/submissions/submission_1234abcd/conversion"
)

// newClient returns a client of rt that retries at once and does not pace.
func newClient(t *testing.T, rt http.RoundTripper, opts ...sparkloop.Option) *sparkloop.Client {
	t.Helper()
	c, err := sparkloop.New(testKey, append([]sparkloop.Option{
		sparkloop.WithHTTPClient(&http.Client{Transport: rt}),
		sparkloop.WithBackoff(time.Microsecond, 2*time.Microsecond),
		sparkloop.WithRateLimit(0, 0),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// jsonResponder answers as the API does.
func jsonResponder(status int, body string) httpmock.Responder {
	return httpmock.NewStringResponder(status, body).HeaderSet(http.Header{"Content-Type": {"application/json; charset=utf-8"}})
}

// mockConfirm returns an API with the same answer to every confirmation, in
// each form of the endpoint.
func mockConfirm(r httpmock.Responder) *httpmock.MockTransport {
	m := httpmock.NewMockTransport()
	for _, form := range published {
		m.RegisterResponder(http.MethodPost, "https://api.sparkloop.app"+form.base+strings.TrimSuffix(confirmPath, "conversion")+form.leaf, r)
	}
	return m
}

// asError returns the *Error in err.
func asError(t *testing.T, err error) *sparkloop.Error {
	t.Helper()
	var e *sparkloop.Error
	require.ErrorAs(t, err, &e)
	return e
}
