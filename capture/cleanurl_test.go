package capture_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/capture"
)

func TestCleanURL(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/welcome?submission=s&offer=o":                      "/welcome",
		"/?utm=a%20b+c&submission=s&x&offer=o&&y=%zz;&utm=d": "/?utm=a%20b+c&x&&y=%zz;&utm=d",
		"/?%73ubmission=s&o%66fer=o&Offer=x":                 "/?Offer=x",
		"/a%2Fb/%C3%B6?submission=s&offer=o":                 "/a%2Fb/%C3%B6",
		"//evil.example/?submission=s&offer=o":               "/evil.example/",
		"///evil.example?submission=s&offer=o":               "/evil.example",
		"/%2Fevil.example/?submission=s&offer=o":             "/%2Fevil.example/",
		"/%5Cevil.example/?submission=s&offer=o":             "/%5Cevil.example/",
		`/\evil.example/?submission=s&offer=o`:               "/%5Cevil.example/",
		"/%09/evil.example/?submission=s&offer=o":            "/%09/evil.example/",
		"/?next=//evil.example&submission=s&offer=o":         "/?next=//evil.example",
		"/%0d%0aX-Evil:1?submission=s&offer=o":               "/%0d%0aX-Evil:1",
	} {
		c, err := capture.New(capture.Options{CleanURL: true})
		require.NoError(t, err)
		path, rawQuery, _ := strings.Cut(target, "?")
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL, err = url.ParseRequestURI(path)
		if strings.HasPrefix(path, "//") {
			r.URL, err = &url.URL{Path: path}, nil // as net/http's server parses a request line
		}
		require.NoError(t, err)
		r.URL.RawQuery = rawQuery
		w := httptest.NewRecorder()
		c.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("the page is shown at its old address")
		})).ServeHTTP(w, r)
		assert.Equal(t, 302, w.Code)
		assert.Equal(t, want, w.Header().Get("Location"), target)
		assert.Len(t, w.Header()["Set-Cookie"], 1)
		assert.Equal(t, "private, no-store", w.Header().Get("Cache-Control"))
	}
}

func TestOnlyADocumentIsRedirected(t *testing.T) {
	t.Parallel()
	const target = "https://shop.example/?submission=s&offer=o"
	for _, headers := range [][]string{
		{}, {"Sec-Fetch-Dest", "document"}, {"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}, {"Sec-Purpose", "prefetch"},
	} {
		b := newBrowser(t, capture.Options{CleanURL: true})
		assert.Equal(t, 302, b.get(target, headers...).StatusCode, headers)
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Dest", "empty"}, {"Sec-Fetch-Dest", "iframe"}, {"Accept", "*/*"}, {"Accept", "application/json"},
	} {
		b := newBrowser(t, capture.Options{CleanURL: true})
		resp := b.get(target, headers...)
		assert.Equal(t, 200, resp.StatusCode, headers)
		assert.Len(t, resp.Header["Set-Cookie"], 1, "captured, but not redirected")
	}
	c, err := capture.New(capture.Options{CleanURL: true})
	require.NoError(t, err)
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut} {
		w := httptest.NewRecorder()
		c.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(method, target, nil))
		assert.Equal(t, 404, w.Code)
		assert.Len(t, w.Header()["Set-Cookie"], 1)
	}
}

func TestNoRedirectWhenNothingIsKept(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{CleanURL: true, Allow: func(*http.Request) bool { return false }, Offers: []string{"o"}})
	for _, target := range []string{landing("o", "s"), landing("foreign", "s"), "https://shop.example/?offer=o", "https://shop.example/?offer=../&submission=s"} {
		resp := b.get(target)
		assert.Equal(t, 200, resp.StatusCode)
		assert.Empty(t, resp.Header)
	}

	// The offer is already stored: the URL is cleaned, the cookie is not
	// changed.
	b = newBrowser(t, capture.Options{CleanURL: true})
	assert.Equal(t, 302, b.get(landing("o", "first")).StatusCode)
	resp := b.get(landing("o", "second"))
	assert.Equal(t, 302, resp.StatusCode)
	assert.Empty(t, resp.Header["Set-Cookie"])
	assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
	assert.Equal(t, 200, b.get(resp.Header.Get("Location")).StatusCode)
	assert.Equal(t, []string{"o/first"}, b.keys())
}
