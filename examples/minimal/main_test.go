package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestALandingAndAPurchase(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	landing, tracking := api.Click("", "/welcome?utm_source=news")
	w := httptest.NewRecorder()
	welcome(w, httptest.NewRequest(http.MethodGet, landing, nil))
	assert.Equal(t, "Welcome!", w.Body.String())
	assert.Equal(t, "private, no-store", w.Header().Get("Cache-Control"))
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	assert.True(t, cookies[0].HttpOnly)

	purchase := httptest.NewRequest(http.MethodPost, "/buy", nil)
	purchase.AddCookie(cookies[0])
	buy(api.Client())(httptest.NewRecorder(), purchase)
	assert.True(t, api.Confirmed(tracking))
}

func TestALostAnswer(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	_, tracking := api.Click("", "https://shop.example/welcome")
	api.Fail(sparklooptest.LostAnswer(), 1) // at the worst moment

	r := httptest.NewRequest(http.MethodPost, "/buy", nil)
	r.AddCookie(&http.Cookie{Name: "tracking", Value: tracking.Encode()})
	buy(api.Client()).ServeHTTP(httptest.NewRecorder(), r)
	assert.True(t, api.Confirmed(tracking))
}

func TestOtherVisitors(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	w := httptest.NewRecorder()
	welcome(w, httptest.NewRequest(http.MethodGet, "/welcome?offer=summer", nil))
	assert.Empty(t, w.Result().Cookies())
	assert.Empty(t, w.Header().Get("Cache-Control"))

	for _, value := range []string{"", "broken", "v1.../..s.1"} {
		purchase := httptest.NewRequest(http.MethodPost, "/buy", nil)
		purchase.AddCookie(&http.Cookie{Name: "tracking", Value: value})
		buy(api.Client())(httptest.NewRecorder(), purchase)
	}
	buy(api.Client())(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/buy", nil))
	assert.Empty(t, api.Requests())
}
