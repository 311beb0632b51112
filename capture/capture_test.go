package capture_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// browser is a visitor with one cookie and a clock that tests can move.
type browser struct {
	t       *testing.T
	c       *capture.Capture
	now     time.Time
	handler http.HandlerFunc
	cookie  string // "name=value"
	seen    []sparkloop.Tracking
}

func newBrowser(t *testing.T, o capture.Options) *browser {
	t.Helper()
	b := &browser{t: t, now: noon}
	o.Now = func() time.Time { return b.now }
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := capture.New(o)
	require.NoError(t, err)
	b.c = c
	return b
}

// get opens a page, keeps the cookie and returns the response.
func (b *browser) get(target string, header ...string) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if b.cookie != "" {
		r.Header.Set("Cookie", "theme=dark; "+b.cookie+"; lang=en")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.seen = capture.All(r.Context())
		if b.handler != nil {
			b.handler(w, r)
		}
	})).ServeHTTP(w, r)
	resp := w.Result()
	for _, cookie := range resp.Cookies() {
		if b.cookie = cookie.Name + "=" + cookie.Value; cookie.MaxAge < 0 {
			b.cookie = ""
		}
	}
	return resp
}

func (b *browser) keys() []string {
	keys := []string{}
	for _, t := range b.seen {
		keys = append(keys, t.Key())
	}
	return keys
}

func landing(offer, submission string) string {
	return "https://shop.example/welcome?utm_source=news&submission=" + submission + "&offer=" + offer
}

func TestALandingIsCaptured(t *testing.T) {
	t.Parallel()
	var captured []sparkloop.Tracking
	b := newBrowser(t, capture.Options{OnCapture: func(_ *http.Request, t sparkloop.Tracking) { captured = append(captured, t) }})
	want := sparkloop.Tracking{Offer: "o1", Submission: "s1", CapturedAt: noon}

	resp := b.get(landing("o1", "s1"))
	require.Equal(t, []string{"sparkloop_t=v1.o1.s1.1795348800; Path=/; Max-Age=3888000; HttpOnly; Secure; SameSite=Lax"}, resp.Header["Set-Cookie"])
	assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
	assert.Equal(t, []sparkloop.Tracking{want}, b.seen)
	assert.Equal(t, []sparkloop.Tracking{want}, captured)

	// Weeks later, on another page.
	b.now = noon.Add(44 * day)
	resp = b.get("https://shop.example/checkout")
	assert.Equal(t, []sparkloop.Tracking{want}, b.seen)
	assert.Empty(t, resp.Header, "the response is not changed")

	// The same link changes nothing, as with reload and back button.
	resp = b.get(landing("o1", "s1"))
	assert.Empty(t, resp.Header["Set-Cookie"])
	assert.Equal(t, []sparkloop.Tracking{want}, b.seen)
	assert.Len(t, captured, 1)

	// After 45 days the click is forgotten, and a new one counts.
	b.now = noon.Add(45 * day)
	b.get("https://shop.example/checkout")
	assert.Empty(t, b.seen)
	b.get(landing("o1", "s2"))
	assert.Equal(t, []string{"o1/s2"}, b.keys())
	assert.Len(t, captured, 2)
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{})
	b.get(landing("o1", "first"))
	b.now = b.now.Add(time.Hour)
	resp := b.get(landing("o1", "second"))
	assert.Equal(t, []string{"o1/first"}, b.keys())
	assert.Empty(t, resp.Header["Set-Cookie"])

	b = newBrowser(t, capture.Options{Policy: capture.LastClick})
	b.get(landing("o1", "first"))
	b.get(landing("o2", "other"))
	b.now = b.now.Add(time.Hour)
	b.get(landing("o1", "second"))
	assert.Equal(t, []string{"o1/second", "o2/other"}, b.keys())
	b.now = b.now.Add(time.Hour)
	resp = b.get(landing("o1", "second"))
	assert.Empty(t, resp.Header["Set-Cookie"], "the time of a click is never refreshed")
	b.handler = func(w http.ResponseWriter, r *http.Request) { // an old tab's banner
		assert.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "o1", Submission: "first", CapturedAt: noon}))
	}
	resp = b.get("https://shop.example/consent")
	assert.Empty(t, resp.Header["Set-Cookie"], "an earlier click never replaces a later one")
}

func TestSeveralOffers(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{MaxOffers: 3})
	for n := range 4 {
		b.now = noon.Add(time.Duration(n) * day)
		b.get(landing(fmt.Sprintf("o%d", n), "s"))
	}
	assert.Equal(t, []string{"o3/s", "o2/s", "o1/s"}, b.keys(), "the oldest was evicted")
	var newest, one sparkloop.Tracking
	var ok, none bool
	b.handler = func(_ http.ResponseWriter, r *http.Request) {
		newest, _ = capture.FromContext(r.Context())
		one, ok = capture.ForOffer(r.Context(), "o1")
		_, none = capture.ForOffer(r.Context(), "o0")
	}
	resp := b.get("https://shop.example/")
	assert.Equal(t, "o3", newest.Offer)
	assert.Equal(t, "o1", one.Offer)
	assert.True(t, ok)
	assert.False(t, none)
	assert.Empty(t, resp.Header["Set-Cookie"])

	// The cookie lives as long as its newest entry; each entry expires on its
	// own.
	b.now = noon.Add(46*day + time.Second)
	b.get("https://shop.example/")
	assert.Equal(t, []string{"o3/s", "o2/s"}, b.keys())
	resp = b.get(landing("o9", "s"))
	assert.Contains(t, resp.Header.Get("Set-Cookie"), "Max-Age=3888000")
	assert.Equal(t, []string{"o9/s", "o3/s", "o2/s"}, b.keys())
}

// Eight trackings of 255 bytes, with separators and one byte more, are 2 KB.
func TestACookieOf2KB(t *testing.T) {
	t.Parallel()
	for extra, want := range map[int]int{1: 8, 2: 7} {
		b := newBrowser(t, capture.Options{MaxOffers: 50})
		for n := range 8 {
			width := 113
			if n == 7 {
				width += extra
			}
			b.now = b.now.Add(time.Minute)
			b.get(landing(fmt.Sprintf("%0*d", width, n), strings.Repeat("s", 127)))
		}
		b.get(page)
		assert.Len(t, b.seen, want)
		if want == 8 {
			assert.Len(t, b.cookie, len("sparkloop_t=")+2048)
		}
	}
}

// TestTooManyCookies: a browser sends one cookie of the host and one of each parent
// domain.
func TestTooManyCookies(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{})
	var header []string
	for n := range 5 {
		header = append(header, "sparkloop_t="+sparkloop.Tracking{Offer: fmt.Sprint("o", n), Submission: "s", CapturedAt: noon}.Encode())
	}
	b.get(page, "Cookie", strings.Join(header, "; "))
	assert.ElementsMatch(t, []string{"o0/s", "o1/s", "o2/s", "o3/s"}, b.keys())
}

func TestTheCookieStaysSmall(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{MaxOffers: 50})
	long := strings.Repeat("x", 120)
	for n := range 20 {
		b.now = noon.Add(time.Duration(n) * time.Minute)
		b.get(landing(fmt.Sprintf("%s%d", long, n), long))
	}
	assert.LessOrEqual(t, len(b.cookie), len("sparkloop_t=")+2048)
	assert.Len(t, b.seen, 7)
	assert.Equal(t, long+"19", b.seen[0].Offer)
}

func TestDefaultOfferAndOffers(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{DefaultOffer: "mine", Offers: []string{"mine", "other"}})
	b.get("https://shop.example/?submission=s1")
	assert.Equal(t, []string{"mine/s1"}, b.keys())
	b.get(landing("other", "s2"))
	assert.Len(t, b.keys(), 2)
	b.get(landing("foreign", "s3"))
	assert.Len(t, b.keys(), 2)
	b.get("https://shop.example/?offer=mine")
	assert.Len(t, b.keys(), 2)
}

func TestForeignAndHostileParameters(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, query := range []string{
		"offer=summer", "submission=s", "offer=&submission=s", "offer=EVIL%2f..&submission=s", "offer=o&submission=EVIL%00", "offer=o&submission=a&submission=EVIL",
		"offer=%zzEVIL&submission=s", "offer=o;EVIL&submission=s", "offer=o&submission=" + strings.Repeat("EVIL", 40), "offer=o&submission=EVIL~", "offer=o&submission=EVIL.1",
	} {
		b := newBrowser(t, capture.Options{Logger: logger, CleanURL: true})
		resp := b.get("https://shop.example/?" + query)
		assert.Empty(t, resp.Header, query)
		assert.Equal(t, 200, resp.StatusCode)
		assert.Empty(t, b.seen, query)
	}
	assert.Equal(t, 1, strings.Count(log.String(), "level=DEBUG msg=\"capture: not captured\" reason="))
	assert.Equal(t, 9, strings.Count(log.String(), "level=WARN msg=\"capture: not captured\" reason="))
	assert.NotContains(t, log.String(), "EVIL")
}

func TestHostileCookies(t *testing.T) {
	t.Parallel()
	stamp := fmt.Sprint(noon.Unix())
	for name, tt := range map[string]struct {
		cookie string
		want   []string
	}{
		"2 MB":                  {strings.Repeat("v1.o.s."+stamp+"~", 120_000), nil},
		"over 2 KB":             {strings.Repeat("v1.o.s."+stamp+"~", 200), nil},
		"hundreds of entries":   {strings.Repeat("v1.o.s.1~", 220), nil},
		"many offers":           {entries(60, stamp), []string{"o59/s", "o58/s", "o57/s", "o56/s", "o55/s"}},
		"control characters":    {"v1.o\x01.s." + stamp, nil},
		"a newer version":       {"v2.o.s." + stamp, nil},
		"quoted":                {`"v1.o.s.` + stamp + `"`, nil},
		"without a time":        {"v1.o.s.0", nil},
		"two days ahead":        {fmt.Sprintf("v1.o.s.%d", noon.Add(48*time.Hour).Unix()), nil},
		"hours ahead":           {fmt.Sprintf("v1.o.s.%d", noon.Add(23*time.Hour).Unix()), []string{"o/s"}},
		"45 days old":           {fmt.Sprintf("v1.o.s.%d", noon.Add(-45*day).Unix()), nil},
		"one good among bad":    {"x~v1.../.s.1~v1.o.s." + stamp + "~~v1.p.s", []string{"o/s"}},
		"one offer twice":       {fmt.Sprintf("v1.o.late.%s~v1.o.early.%d", stamp, noon.Unix()-5), []string{"o/early"}},
		"empty":                 {"", nil},
		"only separators":       {"~~~~", nil},
		"another cookie's tail": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			b := newBrowser(t, capture.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			b.cookie = "sparkloop_t=" + tt.cookie
			if name == "another cookie's tail" {
				b.cookie = "my_sparkloop_t=v1.o.s." + stamp + "; x=sparkloop_t=v1.o.s." + stamp
			}
			resp := b.get("https://shop.example/")
			assert.ElementsMatch(t, tt.want, b.keys())
			assert.Empty(t, resp.Header, "neither echoed nor replaced")
			assert.Empty(t, log.String())

			// A real click is still captured.
			b.get(landing("real", "s"))
			assert.Contains(t, b.keys(), "real/s")
		})
	}
}

// entries returns a cookie with n offers, captured one second apart.
func entries(n int, stamp string) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf("v1.o%d.s.%s%02d", i, stamp[:len(stamp)-2], i))
	}
	return strings.Join(parts, "~")
}

func TestConsent(t *testing.T) {
	t.Parallel()
	allowed := false
	calls := 0
	b := newBrowser(t, capture.Options{
		Allow: func(*http.Request) bool { return allowed }, CleanURL: true,
		OnCapture: func(*http.Request, sparkloop.Tracking) { calls++ },
	})
	resp := b.get(landing("o1", "s1"))
	assert.Equal(t, 200, resp.StatusCode, "the only copy of the IDs is not removed")
	assert.Empty(t, resp.Header)
	assert.Equal(t, []string{"o1/s1"}, b.keys(), "the context has the tracking")
	assert.Zero(t, calls)

	// Consent comes with the next request, which has the URL's tracking in a form.
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "o1", Submission: "s1"}))
		assert.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "o2", Submission: "s2"}), "a second Save for the same response")
		assert.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "o1", Submission: "later"}), "the first click stays")
	}
	resp = b.get("https://shop.example/consent")
	require.Len(t, resp.Header["Set-Cookie"], 1)
	assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
	assert.Equal(t, 2, calls)
	b.handler = nil
	b.get("https://shop.example/")
	assert.ElementsMatch(t, []string{"o1/s1", "o2/s2"}, b.keys())

	// Consent may also come in the landing request itself.
	b = newBrowser(t, capture.Options{Allow: func(*http.Request) bool { return false }})
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		tracking, _ := capture.FromContext(r.Context())
		assert.NoError(t, b.c.Save(w, r, tracking))
		w.Header().Set("Cache-Control", "public, max-age=60")
	}
	resp = b.get(landing("o1", "s1"))
	assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
	assert.Contains(t, b.cookie, "v1.o1.s1.")
}

func TestSaveRefuses(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{Offers: []string{"mine"}})
	for want, bad := range map[string]sparkloop.Tracking{
		"no tracking":                             {},
		"invalid tracking: the offer id":          {Offer: "../", Submission: "s"},
		"the offer is not one of Options.Offers":  {Offer: "foreign", Submission: "s"},
		"older than 45 days":                      {Offer: "mine", Submission: "s", CapturedAt: noon.Add(-45 * day)},
		"45 days, or a day or more in the future": {Offer: "mine", Submission: "s", CapturedAt: noon.Add(25 * time.Hour)},
	} {
		b.handler = func(w http.ResponseWriter, r *http.Request) {
			assert.ErrorContains(t, b.c.Save(w, r, bad), "capture: save: ")
			assert.ErrorContains(t, b.c.Save(w, r, bad), want)
		}
		resp := b.get("https://shop.example/")
		assert.Empty(t, resp.Header)
	}
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		assert.ErrorContains(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "mine", Submission: "s"}), "the response header was already sent")
		b.c.Clear(w, r)
	}
	b.get(landing("mine", "s0"))
	b.handler = nil
	b.get("https://shop.example/")
	assert.Equal(t, []string{"mine/s0"}, b.keys())
}

func TestClear(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{})
	b.get(landing("o1", "s1"))
	b.now = b.now.Add(time.Second)
	b.get(landing("o2", "s2"))
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		b.c.Clear(w, r, "o1", "unknown")
		assert.Len(t, capture.All(r.Context()), 1)
	}
	resp := b.get("https://shop.example/thanks")
	assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
	b.handler = nil
	b.get("https://shop.example/")
	assert.Equal(t, []string{"o2/s2"}, b.keys())
	b.get(landing("o1", "next"))
	assert.ElementsMatch(t, []string{"o1/next", "o2/s2"}, b.keys(), "the next publisher's click counts")

	b.handler = func(w http.ResponseWriter, r *http.Request) { b.c.Clear(w, r) }
	resp = b.get("https://shop.example/")
	assert.Regexp(t, `^sparkloop_t=x\.\S{11}\.\w+~x\.\S{11}\.\w+~x\.\S{11}\.\w+; Path=/; Max-Age=3888000; HttpOnly; Secure; SameSite=Lax$`, resp.Header.Get("Set-Cookie"), "only spent submissions")
	resp = b.get("https://shop.example/")
	assert.Empty(t, resp.Header, "nothing to clear")

	// Clear also works without consent, and outside the middleware.
	b = newBrowser(t, capture.Options{Allow: func(*http.Request) bool { return false }})
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		b.c.Clear(w, r, "o1")
		assert.Empty(t, capture.All(r.Context()))
	}
	resp = b.get(landing("o1", "s1"))
	assert.Empty(t, resp.Header)

	b = newBrowser(t, capture.Options{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", fmt.Sprintf("sparkloop_t=v1.o1.s1.%d", noon.Unix()))
	w := httptest.NewRecorder()
	require.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "o2", Submission: "s2"}))
	b.c.Clear(w, r)
	require.Len(t, w.Header()["Set-Cookie"], 1)
	assert.Regexp(t, `^sparkloop_t=x\.\S{11}\.\w+~x\.\S{11}\.\w+; `, w.Header().Get("Set-Cookie"))
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	set := func(o capture.Options, target string) string {
		b := newBrowser(t, o)
		resp := b.get(target + "?submission=s&offer=o")
		require.Len(t, resp.Header["Set-Cookie"], 1)
		_, attributes, _ := strings.Cut(resp.Header.Get("Set-Cookie"), "; ")
		return attributes
	}
	const secure, plain = "Path=/; Max-Age=3888000; HttpOnly; Secure; SameSite=Lax", "Path=/; Max-Age=3888000; HttpOnly; SameSite=Lax"
	for target, want := range map[string]string{
		"https://shop.example/": secure, "http://shop.example/": secure, "http://shop.example:8080/": secure, "http://localhost.example/": secure,
		"http://localhost/": plain, "http://localhost:8080/": plain, "http://127.0.0.1:8080/": plain, "http://[::1]:80/": plain, "http://shop.localhost/": plain,
		"https://localhost/": secure,
	} {
		assert.Equal(t, want, set(capture.Options{}, target), target)
	}
	assert.Equal(t, plain, set(capture.Options{Insecure: true}, "http://shop.example/"))
	assert.Equal(t, secure, set(capture.Options{Insecure: true}, "https://shop.example/"), "TLS is TLS")
	assert.Equal(t, secure, set(capture.Options{CookieName: "__Host-t"}, "http://localhost/"), "browsers require Secure")
	assert.Equal(t, "Path=/; Domain=shop.example; Max-Age=3888000; HttpOnly; Secure; SameSite=Lax", set(capture.Options{Domain: ".shop.example"}, "https://www.shop.example/"))

	// Two cookies of the name, one from before Domain was set: both are read,
	// and the next change deletes the old one.
	b := newBrowser(t, capture.Options{Domain: "shop.example"})
	b.cookie = fmt.Sprintf("sparkloop_t=v1.o1.old.%d; sparkloop_t=v1.o2.s.%d~v1.o1.new.%d", noon.Unix()-60, noon.Unix(), noon.Unix())
	resp := b.get(landing("o3", "s3"))
	assert.ElementsMatch(t, []string{"o3/s3", "o2/s", "o1/old"}, b.keys())
	require.Len(t, resp.Header["Set-Cookie"], 2)
	assert.Equal(t, "sparkloop_t=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax", resp.Header["Set-Cookie"][0], "the deletion goes first")

	// The only cookie is from before Domain was set; Clear deletes it.
	b = newBrowser(t, capture.Options{Domain: "shop.example"})
	b.cookie = fmt.Sprintf("sparkloop_t=v1.o1.old.%d", noon.Unix()-60)
	b.handler = func(w http.ResponseWriter, r *http.Request) { b.c.Clear(w, r, "o1") }
	resp = b.get("https://shop.example/")
	require.Len(t, resp.Header["Set-Cookie"], 2)
	assert.Regexp(t, `^sparkloop_t=x\.\S{11}\.\w+; Path=/; Domain=shop.example; Max-Age=3887940;`, resp.Header["Set-Cookie"][1])
	assert.Equal(t, "sparkloop_t=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax", resp.Header["Set-Cookie"][0])

	b = newBrowser(t, capture.Options{Policy: capture.LastClick})
	b.cookie = fmt.Sprintf("sparkloop_t=v1.o1.old.%d; sparkloop_t=v1.o1.new.%d", noon.Unix()-60, noon.Unix())
	b.get("https://shop.example/")
	assert.Equal(t, []string{"o1/new"}, b.keys())
}

// TestEveryWayOut checks that each way to start a response sets the cookie and
// marks the response as private.
func TestEveryWayOut(t *testing.T) {
	t.Parallel()
	public := func(w http.ResponseWriter) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("CDN-Cache-Control", "max-age=3600")
		w.Header().Set("Surrogate-Control", "max-age=3600")
		w.Header().Set("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")
	}
	for name, handler := range map[string]http.HandlerFunc{
		"WriteHeader": func(w http.ResponseWriter, _ *http.Request) { public(w); w.WriteHeader(201) },
		"Write":       func(w http.ResponseWriter, _ *http.Request) { public(w); io.WriteString(w, "x") }, //nolint:errcheck // a test's
		"nothing":     func(w http.ResponseWriter, _ *http.Request) { public(w) },
		"Flusher":     func(w http.ResponseWriter, _ *http.Request) { public(w); w.(http.Flusher).Flush() },              //nolint:forcetypeassert // that is the test
		"controller":  func(w http.ResponseWriter, _ *http.Request) { public(w); http.NewResponseController(w).Flush() }, //nolint:errcheck // a test's
		"ReaderFrom":  func(w http.ResponseWriter, _ *http.Request) { public(w); io.Copy(w, strings.NewReader("x")) },    //nolint:errcheck // a test's
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(103)
			public(w)
			w.WriteHeader(200)
		},
		"error": func(w http.ResponseWriter, _ *http.Request) { public(w); http.Error(w, "no", 500) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			public(w)
			http.Redirect(w, r, "/next", http.StatusFound)
		},
		"file": func(w http.ResponseWriter, r *http.Request) { public(w); http.ServeFile(w, r, "capture.go") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := capture.New(capture.Options{})
			require.NoError(t, err)
			server := httptest.NewServer(c.Handler(handler))
			defer server.Close()
			hc := server.Client()
			hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			resp, err := hc.Get(server.URL + "/welcome?submission=s&offer=o")
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Len(t, resp.Header["Set-Cookie"], 1)
			assert.Equal(t, []string{"private, no-store"}, resp.Header["Cache-Control"])
			for _, gone := range []string{"CDN-Cache-Control", "Cdn-Cache-Control", "Surrogate-Control", "Expires"} {
				assert.Empty(t, resp.Header[gone], gone)
			}

			// Without the parameters the handler's own headers stay.
			resp, err = hc.Get(server.URL + "/welcome")
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Empty(t, resp.Header["Set-Cookie"])
			assert.Equal(t, []string{"public, max-age=3600"}, resp.Header["Cache-Control"])
		})
	}
}

func TestTheWriterHidesNothing(t *testing.T) {
	t.Parallel()
	c, err := capture.New(capture.Options{})
	require.NoError(t, err)
	server := httptest.NewServer(c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
		conn, rw, err := w.(http.Hijacker).Hijack() //nolint:forcetypeassert // that is the test
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 299 Own Words\r\nContent-Length: 0\r\n\r\n")
		assert.NoError(t, rw.Flush())
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /?submission=s&offer=o HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 299, resp.StatusCode)
}

func TestTheWriterTellsWhenTheVisitorLeaves(t *testing.T) {
	t.Parallel()
	c, err := capture.New(capture.Options{})
	require.NoError(t, err)
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodGet, "/?submission=s&offer=o", nil).WithContext(ctx)
	c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		gone := w.(interface{ CloseNotify() <-chan bool }).CloseNotify() //nolint:forcetypeassert // as gin does
		leave()
		assert.True(t, <-gone)
	})).ServeHTTP(httptest.NewRecorder(), r)
}

func TestTwiceAroundIsOnce(t *testing.T) {
	t.Parallel()
	c, err := capture.New(capture.Options{})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	c.Handler(c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Len(t, capture.All(r.Context()), 1)
	}))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?submission=s&offer=o", nil))
	assert.Len(t, w.Header()["Set-Cookie"], 1)
}

func TestWithoutTheMiddleware(t *testing.T) {
	t.Parallel()
	_, ok := capture.FromContext(context.Background())
	assert.False(t, ok)
	_, ok = capture.ForOffer(context.Background(), "o")
	assert.False(t, ok)
	assert.Empty(t, capture.All(context.Background()))
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]capture.Options{
		`CookieName: "a b" is not a valid`:                  {CookieName: "a b"},
		`CookieName: "a=b" is not a valid`:                  {CookieName: "a=b", Domain: "also bad"},
		"CookieName: the prefix sl_submission_ is reserved": {CookieName: "sl_submission_offer_1"},
		"CookieName: browsers refuse __Host-x with a":       {CookieName: "__Host-x", Domain: "shop.example"},
		"CookieName: browsers refuse __Host-y":              {CookieName: "__Host-y", Insecure: true},
		"CookieName: browsers refuse __Secure-x":            {CookieName: "__Secure-x", Insecure: true},
		`Domain: "https://shop.example" is not`:             {Domain: "https://shop.example"},
		`Domain: "shop.example:8080" is not`:                {Domain: "shop.example:8080"},
		`Domain: "127.0.0.1" is not`:                        {Domain: "127.0.0.1"},
		`Domain: browsers refuse cookies for all`:           {Domain: "com"},
		"MaxOffers: -1 is not between 1 and 50":             {MaxOffers: -1},
		"MaxOffers: 51 is not":                              {MaxOffers: 51},
		"Policy: 7 is neither":                              {Policy: 7},
		"DefaultOffer: invalid tracking":                    {DefaultOffer: "../x"},
		"DefaultOffer: not one of Offers":                   {DefaultOffer: "a", Offers: []string{"b"}},
		"Offers[1]: invalid tracking":                       {Offers: []string{"a", ""}},
	} {
		_, err := capture.New(o)
		require.ErrorContains(t, err, "capture: "+want)
	}
	for _, good := range []capture.Options{{}, {Domain: "localhost"}, {CookieName: "__Host-t"}, {CookieName: "__Secure-t", Domain: "shop.example"}, {MaxOffers: 1}, {MaxOffers: 50}} {
		_, err := capture.New(good)
		require.NoError(t, err)
	}
}
