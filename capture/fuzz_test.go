package capture_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
)

// FuzzCookie: for any cookie, the context has only valid trackings, one per
// offer, at most MaxOffers. The cookie that the next capture writes is small,
// well-formed and read back.
func FuzzCookie(f *testing.F) {
	stamp := fmt.Sprint(noon.Unix())
	f.Add("v1.o.s." + stamp)
	f.Add("v1.o.s." + stamp + "~v1.p.s." + stamp + "; sparkloop_t=v1.q.s." + stamp)
	f.Add("v2.o.s.1~\x00")
	f.Fuzz(func(t *testing.T, value string) {
		b := newBrowser(t, capture.Options{})
		b.cookie = "sparkloop_t=" + value
		check := func(most int) {
			offers := map[string]bool{}
			for _, tracking := range b.seen {
				if tracking.Validate() != nil || offers[tracking.Offer] {
					t.Fatalf("%q: %+v", value, b.seen)
				}
				offers[tracking.Offer] = true
			}
			if len(b.seen) > most {
				t.Fatalf("%q: %d offers", value, len(b.seen))
			}
		}
		b.get("https://shop.example/")
		check(5)
		before := b.keys()
		resp := b.get(landing("fresh", "s"))
		check(5)
		if len(resp.Header["Set-Cookie"]) == 0 && !strings.Contains(strings.Join(before, " "), "fresh/") {
			t.Fatalf("%q: nothing was set", value)
		}
		for _, cookie := range resp.Cookies() {
			if len(cookie.Value) > 2048 {
				t.Fatalf("%q: a cookie of %d bytes", value, len(cookie.Value))
			}
		}
		written := b.keys()
		b.get("https://shop.example/")
		if fmt.Sprint(written) != fmt.Sprint(b.keys()) {
			t.Fatalf("%q: wrote %v, read %v", value, written, b.keys())
		}
	})
}

// FuzzCookieHeader compares the reader with a plain split of the header, as
// net/http does: the context has the first click on each offer in the cookies
// of our name, newest first.
func FuzzCookieHeader(f *testing.F) {
	stamp := strconv.FormatInt(noon.Unix(), 10)
	earlier := strconv.FormatInt(noon.Unix()-60, 10)
	for _, s := range []string{
		"sparkloop_t=v1.o.s." + stamp, "a=b;sparkloop_t=v1.o.s." + stamp + "~v1.p.s." + earlier + " ; c=d", "my_sparkloop_t=v1.o.s." + stamp, "x=sparkloop_t=v1.o.s." + stamp,
		"sparkloop_t=v1.o.s." + stamp + "; sparkloop_t=v1.o.t." + earlier, "sparkloop_t=;;sparkloop_t=v1.o.s." + stamp, `sparkloop_t="v1.o.s.` + stamp + `"`,
		"sparkloop_t =v1.o.s." + stamp, "sparkloop_t=\tv1.o.s." + stamp + "\t", "sparkloop_tsparkloop_t=v1.o.s." + stamp,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if strings.ContainsAny(header, "\r\n") {
			return // no server accepts it
		}
		var read []sparkloop.Tracking
		c, err := capture.New(capture.Options{MaxOffers: 50, Now: func() time.Time { return noon }})
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodGet, "https://shop.example/", nil)
		r.Header["Cookie"] = []string{header}
		w := httptest.NewRecorder()
		c.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read = capture.All(r.Context()) })).ServeHTTP(w, r)
		assert.Empty(t, w.Header(), "nothing is new")

		var values []string
		for part := range strings.SplitSeq(header, ";") {
			if value, ours := strings.CutPrefix(strings.Trim(part, " \t"), "sparkloop_t="); ours {
				values = append(values, strings.Trim(value, " \t"))
			}
		}
		for _, cookie := range r.CookiesNamed("sparkloop_t") {
			if cookie.Value != "" && !cookie.Quoted && !strings.Contains(header, "sparkloop_t ") && !strings.Contains(header, "sparkloop_t\t") {
				assert.Contains(t, values, strings.Trim(cookie.Value, " \t"))
			}
		}
		first := map[string]sparkloop.Tracking{}
		for _, value := range values[:min(len(values), 4)] {
			if len(value) > 2048 {
				continue
			}
			for text := range strings.SplitSeq(value, "~") {
				got, err := sparkloop.DecodeTracking(text)
				alive := got.CapturedAt.After(noon.Add(-45*day)) && !got.CapturedAt.After(noon.Add(day))
				if before, ok := first[got.Offer]; err == nil && alive && (!ok || got.CapturedAt.Before(before.CapturedAt)) {
					first[got.Offer] = got
				}
			}
		}
		if len(first) <= 50 {
			assert.Len(t, read, len(first))
		}
		for i, got := range read {
			assert.Equal(t, first[got.Offer].CapturedAt, got.CapturedAt, "%q", header)
			assert.True(t, i == 0 || !got.CapturedAt.After(read[i-1].CapturedAt), "%+v", read)
		}
	})
}

// FuzzCleanURL: the redirect stays on the origin. The new page has the same
// path, except for leading slashes, and none of our parameters.
func FuzzCleanURL(f *testing.F) {
	for _, path := range []string{"/", "//evil.example", `/\evil.example`, "/%2f%2fevil.example", "/a%2Fb", "/\t/x", "/..//x", "/.//x"} {
		f.Add(path, "a=b")
	}
	f.Fuzz(func(t *testing.T, path, other string) {
		r := httptest.NewRequest(http.MethodGet, "https://shop.example/", nil)
		r.URL.Path, r.URL.RawPath = path, path
		r.URL.RawQuery = "submission=s&offer=o&" + other
		c, err := capture.New(capture.Options{CleanURL: true})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		c.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
		location := w.Header().Get("Location")
		if location == "" {
			return // the rest of the query contradicts the two parameters
		}
		if location[0] != '/' || len(location) > 1 && (location[1] == '/' || location[1] == '\\') || strings.ContainsAny(strings.SplitN(location, "?", 2)[0], "\r\n\t\\") {
			t.Fatalf("%q leads to %q", path, location)
		}
		base := &url.URL{Scheme: "https", Host: "shop.example", Path: "/"}
		target, err := base.Parse(location)
		if err != nil {
			return // net/url rejects it; a browser stays on the origin too
		}
		if target.Host != "shop.example" || target.Scheme != "https" {
			t.Fatalf("%q leads to %q", path, target)
		}
		if values, _ := url.ParseQuery(target.RawQuery); values.Has("submission") || values.Has("offer") {
			t.Fatalf("%q keeps the parameters: %q", other, location)
		}
	})
}
