// Package location tests the redirect of package capture with a browser's URL
// parser. It is a package of its own because a fuzz target compiles all that its
// package imports with instrumentation.
package location

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/capture"
)

// FuzzLocation reads a request target as net/http's server does. The redirect
// to the cleaned URL must stay on the origin, for net/url and for browsers' URL
// parser. The next request must not be redirected again.
func FuzzLocation(f *testing.F) {
	for _, path := range []string{
		"/welcome", "//evil.example", "///evil.example/", `/\evil.example`, `\\evil.example`, "/%2f%2fevil.example", "/%5cevil.example", "/%09/evil.example", "/.//evil.example",
		"/..//evil.example", "/a/..//evil.example", "/%2e%2e//evil.example", "/;//evil.example", "/@evil.example", "/:80", "*", "https://shop.example//evil.example", "http://evil.example/",
		"//[::1]/", "/\u00e9/\u200b", "/%", "/%zz", "https:evil.example", "javascript:alert(1)", "/#//evil.example", "/%23", "/%3f//evil.example",
	} {
		f.Add(path, "")
		f.Add(path, "&next=//evil.example")
	}
	f.Add("/", "&%73ubmission=x&x#y&offer")
	f.Add("/", "&a=%zz;&=&&?//evil.example")
	c, err := capture.New(capture.Options{CleanURL: true})
	require.NoError(f, err)
	page := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	open := func(target, cookie string) *http.Response {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: shop.example\r\nCookie: " + cookie + "\r\n\r\n")))
		if err != nil {
			return nil
		}
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		return w.Result()
	}
	f.Fuzz(func(t *testing.T, path, more string) {
		target := path + "?offer=o&submission=s" + more
		if strings.ContainsAny(target, " \r\n") {
			return // ends the request line
		}
		resp := open(target, "a=b")
		if resp == nil || resp.StatusCode != http.StatusFound {
			return
		}
		location := resp.Header.Get("Location")
		for _, origin := range []string{"https://shop.example", "http://shop.example:8080", "http://[::1]:8080"} {
			base, err := url.Parse(origin + "/")
			require.NoError(t, err)
			if to, err := base.Parse(location); err == nil {
				assert.Equal(t, base.Scheme+base.Host, to.Scheme+to.Host, "%q leads to %q", target, location)
				assert.Nil(t, to.User)
			}
			browser, err := whatwg.ParseRef(origin+"/", location)
			require.NoError(t, err, location)
			assert.Equal(t, origin, browser.Protocol()+"//"+browser.Host(), "%q leads to %q", target, location)
			assert.Empty(t, browser.Username()+browser.Password())
			assert.True(t, strings.HasPrefix(browser.Pathname(), "/"))

			// The request that the browser then sends.
			next := open(browser.Pathname()+browser.Search(), strings.SplitN(resp.Header.Get("Set-Cookie"), ";", 2)[0])
			if next != nil {
				assert.Equal(t, http.StatusNoContent, next.StatusCode, "%q leads to %q, and that to %q", target, location, next.Header.Get("Location"))
			}
		}
	})
}
