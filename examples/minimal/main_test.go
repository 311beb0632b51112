package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func newCapture(t *testing.T) *capture.Capture {
	t.Helper()
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	return keep
}

func TestALandingAndAPurchase(t *testing.T) {
	t.Parallel()
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	api := sparklooptest.NewServer(t)
	shop := site(api.Client(), keep)
	landing, tracking := api.Click("", "https://shop.example/welcome?utm_source=news")
	api.Fail(sparklooptest.LostAnswer(), 1) // at the worst moment

	page := httptest.NewRecorder()
	shop.ServeHTTP(page, httptest.NewRequest(http.MethodGet, landing, nil))
	r := httptest.NewRequest(http.MethodPost, "/buy", nil)
	r.Header.Set("Cookie", page.Header().Get("Set-Cookie"))
	bought := httptest.NewRecorder()
	shop.ServeHTTP(bought, r)

	assert.True(t, api.Confirmed(tracking))
	assert.Equal(t, "Welcome!\n", page.Body.String())
	assert.Contains(t, bought.Header().Get("Set-Cookie"), "Max-Age=0", "so that the next click counts")
}

func TestOtherVisitors(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	shop := site(api.Client(), newCapture(t))
	for _, cookie := range []string{"", "sparkloop_t=broken", "sparkloop_t=v1.../..s.1"} {
		r := httptest.NewRequest(http.MethodPost, "/buy", nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		shop.ServeHTTP(w, r)
		assert.Empty(t, w.Header())
	}
	assert.Empty(t, api.Requests())
}

func TestWhatIsNotConfirmedIsKept(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	shop := site(api.Client(), newCapture(t))
	_, tracking := api.Click("", "")
	api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
	r := httptest.NewRequest(http.MethodPost, "/buy", nil)
	r.Header.Set("Cookie", "sparkloop_t="+tracking.Encode())
	w := httptest.NewRecorder()
	shop.ServeHTTP(w, r)
	assert.False(t, api.Confirmed(tracking))
	assert.Empty(t, w.Header()["Set-Cookie"])
}
