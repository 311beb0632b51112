package capture_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
)

const page = "https://shop.example/"

func logger() (*bytes.Buffer, *slog.Logger) {
	var log bytes.Buffer
	return &log, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TestMangledLandings checks that the middleware reads and cleans mangled URLs,
// and redirects once. The whole table is in internal/query.
func TestMangledLandings(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"?offer=&submission=&submission=s&offer=o":   "/",
		"?ref=1?submission=s&offer=o":                "/?ref=1",
		"?submission=s&amp;offer=o&x=1":              "/?x=1",
		`?x=1\u0026submission=s\u0026offer=o`:        "/?x=1",
		"?submission=s&%2338;offer=o&x=1":            "/?x=1",
		"?Submission=s&OFFER=o%20":                   "/",
		"?submission%3Ds%26offer%3Do":                "/",
		"?submission=s&offer=o%23pricing":            "/",
		"a%3Fsubmission%3Ds%26offer%3Do":             "/a",
		"%2Fevil.example%26submission=s&offer=o?x=1": "/evil.example?x=1",
		"&x=%250a1&submission=s&offer=o":             "/?x=%250a1",
	} {
		b := newBrowser(t, capture.Options{CleanURL: true})
		resp := b.get(page + query)
		assert.Equal(t, want, resp.Header.Get("Location"), query)
		assert.Contains(t, b.cookie, "sparkloop_t=v1.o.s.", query)
		resp = b.get("https://shop.example" + want)
		assert.Equal(t, 200, resp.StatusCode, query)
		assert.Equal(t, []string{"o/s"}, b.keys(), query)
	}
	b := newBrowser(t, capture.Options{Offers: []string{"O"}})
	b.get(page + "?offer=summer&submission=S&offer=O")
	assert.Equal(t, []string{"O/S"}, b.keys())
}

func TestMissedLandingsAreTold(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"offer=a&offer=b&submission=s":         "invalid tracking: the URL has two different offer ids",
		"offer=..&submission=s":                "invalid tracking: the offer id has characters other than letters, digits, _ and -",
		"offer=&submission=":                   "no tracking",
		"offer%3D%26submission%3D":             "no tracking",
		"offer=foreign&submission=s":           "the offer is not one of Options.Offers",
		"/%3Foffer=o%26submission=EVIL%20line": "invalid tracking: the submission id has characters other than letters, digits, _ and -",
		"offer=o&submission=EVIL%0aline":       "invalid tracking: the submission id has characters other than letters, digits, _ and -",
	} {
		log, l := logger()
		var missed []error
		o := capture.Options{Logger: l, OnMissed: func(r *http.Request, reason error) {
			assert.NotNil(t, r)
			missed = append(missed, reason)
		}}
		if strings.Contains(query, "foreign") {
			o.Offers = []string{"o"}
		}
		b := newBrowser(t, o)
		b.get(strings.Replace(page+"?"+query, "?/", "", 1))
		require.Len(t, missed, 1, query)
		assert.EqualError(t, missed[0], want, query)
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"), query)
		assert.Contains(t, log.String(), want)
		assert.NotContains(t, log.String(), "EVIL")
		assert.Empty(t, b.seen)
	}
	for _, query := range []string{"offer=summer", "submission=s", "utm_campaign=offer", "a=b", "submission=s&offer=o"} {
		log, l := logger()
		b := newBrowser(t, capture.Options{Logger: l, OnMissed: func(*http.Request, error) { t.Error("nothing was missed: " + query) }})
		b.get(page + "?" + query)
		assert.NotContains(t, log.String(), "level=WARN", query)
	}
}

// TestSpent: the back button, a restored tab or a bookmark opens the first URL
// again after the purchase.
func TestSpent(t *testing.T) {
	t.Parallel()
	for _, policy := range []capture.Policy{capture.FirstClick, capture.LastClick} {
		var captured []string
		b := newBrowser(t, capture.Options{Policy: policy, OnCapture: func(_ *http.Request, t sparkloop.Tracking) { captured = append(captured, t.Submission) }})
		spend := func() {
			b.handler = func(w http.ResponseWriter, r *http.Request) {
				b.c.Clear(w, r, "o")
				assert.Empty(t, capture.All(r.Context()))
			}
			b.get(page)
			b.handler = nil
		}
		b.get(landing("o", "first"))
		spend()
		for range 2 {
			b.get(landing("o", "first"))
			assert.Empty(t, b.seen, "it was spent")
		}
		b.handler = func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "o", Submission: "first"}))
		}
		b.get(page)
		b.handler = nil
		b.get(page)
		assert.Empty(t, b.seen, "Save follows the same rules")

		b.get(landing("o", "second"))
		assert.Equal(t, []string{"o/second"}, b.keys())
		b.get(landing("o", "first"))
		assert.Equal(t, []string{"o/second"}, b.keys(), "the old URL does not hide the next click")
		spend()
		b.now = noon.Add(44 * day)
		for _, again := range []string{"first", "second"} {
			b.get(landing("o", again))
			assert.Empty(t, b.seen)
		}
		assert.Equal(t, []string{"first", "second"}, captured)
		b.now = noon.Add(45 * day)
		b.get(landing("o", "first"))
		assert.Equal(t, []string{"o/first"}, b.keys(), "its 45 days are over")
	}
}

func TestSpentWithoutConsent(t *testing.T) {
	t.Parallel()
	allowed := true
	b := newBrowser(t, capture.Options{Allow: func(*http.Request) bool { return allowed }})
	b.get(landing("o", "s"))
	allowed = false
	b.handler = func(w http.ResponseWriter, r *http.Request) { b.c.Clear(w, r) }
	resp := b.get(page)
	assert.Equal(t, []string{"sparkloop_t=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}, resp.Header["Set-Cookie"], "a consent that is withdrawn")
	assert.Empty(t, b.cookie)
}

// TestTheOldestSpentGoFirst: after a hundred purchases the cookie is under 2 KB
// and has lost no click.
func TestTheOldestSpentGoFirst(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, capture.Options{MaxOffers: 50})
	for i := range 120 {
		b.now = b.now.Add(time.Second)
		b.get(landing("o", fmt.Sprintf("submission_%d", i)))
		require.Len(t, b.seen, 1)
		b.handler = func(w http.ResponseWriter, r *http.Request) { b.c.Clear(w, r, "o") }
		b.get(page)
		b.handler = nil
		require.LessOrEqual(t, len(b.cookie), len("sparkloop_t=")+2048)
	}
	b.get(landing("o", "submission_119"))
	assert.Empty(t, b.seen)
	b.get(landing("o", "submission_0"))
	assert.Equal(t, []string{"o/submission_0"}, b.keys(), "the oldest was forgotten")
	for i := range 30 {
		b.now = b.now.Add(time.Second)
		b.get(landing(fmt.Sprintf("offer_%d", i), "submission_of_usual_length"))
		require.Len(t, b.seen, i+2, "a click goes before a spent one")
		require.LessOrEqual(t, len(b.cookie), len("sparkloop_t=")+2048)
	}
}

func TestEnqueued(t *testing.T) {
	t.Parallel()
	for _, policy := range []capture.Policy{capture.FirstClick, capture.LastClick} {
		var asked []string
		known := map[string]bool{}
		b := newBrowser(t, capture.Options{Policy: policy, Enqueued: func(_ context.Context, t sparkloop.Tracking) bool {
			asked = append(asked, t.Key())
			return known[t.Key()]
		}})
		b.get(landing("o", "first"))
		b.get(landing("o", "first"))
		b.get(landing("other", "s"))
		b.get(page)
		assert.Empty(t, asked, "only where a new click meets a stored one")

		b.now = b.now.Add(time.Minute)
		b.get(landing("o", "second"))
		assert.Equal(t, []string{"o/first"}, asked)
		want := map[capture.Policy]string{capture.FirstClick: "o/first", capture.LastClick: "o/second"}[policy]
		assert.Contains(t, b.keys(), want)

		known[want] = true // a webhook has confirmed it; the cookie is unchanged
		b.now = b.now.Add(time.Minute)
		b.get(landing("o", "third"))
		assert.Contains(t, b.keys(), "o/third")
		b.get("https://shop.example/?" + "offer=o&submission=" + strings.TrimPrefix(want, "o/"))
		assert.Contains(t, b.keys(), "o/third", "the old URL changes nothing")
	}
}

func TestTestMode(t *testing.T) {
	t.Parallel()
	const test = "&test_mode=true"
	b := newBrowser(t, capture.Options{})
	resp := b.get(landing("o", "trial") + test)
	require.Len(t, b.seen, 1)
	assert.True(t, b.seen[0].Test)
	assert.Contains(t, resp.Header.Get("Set-Cookie"), ".test; Path=/; Max-Age=900;")
	b.now = noon.Add(14 * time.Minute)
	b.get(page)
	assert.Equal(t, []string{"o/trial"}, b.keys())
	b.get(landing("o", "trial2") + test)
	assert.Equal(t, []string{"o/trial2"}, b.keys(), "a test replaces a test")
	b.now = b.now.Add(15 * time.Minute)
	b.get(page)
	assert.Empty(t, b.seen, "after 15 minutes it is over")

	b.get(landing("o", "trial") + test)
	b.get(landing("o", "real"))
	assert.Equal(t, []string{"o/real"}, b.keys(), "a real click replaces a test")
	assert.False(t, b.seen[0].Test)
	b.get(landing("o", "trial3") + test)
	assert.Equal(t, []string{"o/real"}, b.keys(), "a test replaces no real click")
	b.now = b.now.Add(time.Minute)
	b.get(landing("p", "trial") + test)
	assert.Equal(t, []string{"o/real", "p/trial"}, b.keys(), "a test hides no real click")

	for i := range 4 {
		b.get(landing(fmt.Sprint("q", i), "s"))
	}
	assert.NotContains(t, b.keys(), "p/trial", "a test goes first")
	b.get(landing("r", "trial") + test)
	assert.Len(t, b.keys(), 5)
	assert.NotContains(t, b.keys(), "r/trial", "a test evicts nothing")

	b.handler = func(w http.ResponseWriter, r *http.Request) {
		assert.ErrorContains(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "x", Submission: "s", Test: true, CapturedAt: b.now.Add(-15 * time.Minute)}), "older than 15 minutes")
	}
	b.get(page)
}

func TestTheScriptsCookie(t *testing.T) {
	t.Parallel()
	script := func(b *browser, cookies string) []string {
		if b.cookie != "" {
			cookies += "; " + b.cookie
		}
		b.get(page, "Cookie", cookies)
		return b.keys()
	}
	b := newBrowser(t, capture.Options{})
	assert.Equal(t, []string{"o/s"}, script(b, "theme=dark; sl_submission_o=s"), "a click that only the script has seen")
	assert.Contains(t, b.cookie, "v1.o.s.", "the click is kept for 45 days")
	b.get(page)
	assert.Equal(t, []string{"o/s"}, b.keys())
	resp := b.get(page, "Cookie", "sl_submission_o=s; "+b.cookie)
	assert.Empty(t, resp.Header, "the response is not changed")

	assert.Equal(t, []string{"o/theirs"}, script(b, "sl_submission_o=theirs"), "where they differ, the script's wins")
	b.get(landing("o", "ours"), "Cookie", "sl_submission_o=theirs; "+b.cookie)
	assert.Equal(t, []string{"o/theirs"}, b.keys())

	b.handler = func(w http.ResponseWriter, r *http.Request) { b.c.Clear(w, r, "o") }
	script(b, "sl_submission_o=theirs")
	b.handler = nil
	assert.Empty(t, script(b, "sl_submission_o=theirs"), "a cleared click stays cleared")
	b.get(landing("o", "next"), "Cookie", "sl_submission_o=theirs; "+b.cookie)
	assert.Equal(t, []string{"o/next"}, script(b, "sl_submission_o=theirs"))

	// With Enqueued, the script keeps its old click for 30 days.
	b = newBrowser(t, capture.Options{Enqueued: func(_ context.Context, t sparkloop.Tracking) bool { return t.Submission == "old" }})
	script(b, "sl_submission_o=old")
	b.get(landing("o", "new"), "Cookie", "sl_submission_o=old; "+b.cookie)
	assert.Equal(t, []string{"o/new"}, script(b, "sl_submission_o=old"))

	// A test, a foreign offer, hostile values, too many, and no consent.
	b = newBrowser(t, capture.Options{Offers: []string{"o", "p"}})
	script(b, "sl_submission_o=trial; sl_test_o=true")
	require.Len(t, b.seen, 1)
	assert.True(t, b.seen[0].Test)
	b.cookie = ""
	b.get(landing("o", "real"))
	assert.Equal(t, []string{"o/real"}, script(b, "sl_submission_o=trial; sl_test_o=true"))
	assert.Equal(t, []string{"o/real"}, script(b, "sl_submission_foreign=s; sl_submission_=s; sl_submission_p=; sl_submission_p=../x; sl_submission_p=a b; xsl_submission_p=s"))

	b = newBrowser(t, capture.Options{MaxOffers: 2})
	many := "sl_submission_a=s; sl_submission_b=s; sl_submission_c=s"
	assert.ElementsMatch(t, []string{"a/s", "b/s", "c/s"}, script(b, many))
	resp = b.get(page, "Cookie", many+"; "+b.cookie)
	assert.Empty(t, resp.Header["Set-Cookie"], "clicks do not evict each other with every request")

	for flag, want := range map[string]bool{"": false, "sl_test_o=false": false, "sl_test_o=0": false, "sl_test_o=1": true, `sl_test_o="true"`: true, "sl_test_p=1": false} {
		b = newBrowser(t, capture.Options{})
		script(b, "sl_submission_o=s; "+flag)
		require.Len(t, b.seen, 1)
		assert.Equal(t, want, b.seen[0].Test, flag)
	}

	b = newBrowser(t, capture.Options{})
	assert.Equal(t, []string{"o/first"}, script(b, "sl_submission_o=first; sl_submission_o=second"), "a browser sends the more exact path first")

	b = newBrowser(t, capture.Options{Policy: capture.LastClick})
	b.get(landing("o", "ours"), "Cookie", "sl_submission_o=theirs")
	assert.Equal(t, []string{"o/theirs"}, b.keys(), "under either policy")

	b = newBrowser(t, capture.Options{Allow: func(*http.Request) bool { return false }})
	assert.Equal(t, []string{"o/s"}, script(b, "sl_submission_o=s"))
	b.get(landing("o", "ours"), "Cookie", "sl_submission_o=theirs")
	assert.Equal(t, []string{"o/theirs"}, b.keys())
	assert.Empty(t, b.cookie)
}

func TestClearWithoutConsent(t *testing.T) {
	t.Parallel()
	consent := true
	b := newBrowser(t, capture.Options{Allow: func(*http.Request) bool { return consent }})
	withdraw := func(offer string) *http.Response {
		b.handler = func(w http.ResponseWriter, r *http.Request) { b.c.Clear(w, r, offer) }
		defer func() { b.handler = nil }()
		return b.get(page)
	}
	b.get(landing("a", "s"))
	b.get(landing("b", "s"))
	withdraw("a")
	b.get(page)
	assert.Equal(t, []string{"b/s"}, b.keys())
	consent = false
	assert.Empty(t, withdraw("unknown").Header["Set-Cookie"], "nothing changes")
	gone := withdraw("b").Header["Set-Cookie"]
	require.Len(t, gone, 1)
	assert.Contains(t, gone[0], "Max-Age=0", "the spent click of the other offer goes too")
}

// onlyValues is a context that is no struct.
type onlyValues func(any) any

func (f onlyValues) Value(key any) any         { return f(key) }
func (onlyValues) Deadline() (time.Time, bool) { return time.Time{}, false }
func (onlyValues) Done() <-chan struct{}       { return nil }
func (onlyValues) Err() error                  { return nil }

// A *gin.Context has the request in a field, and not its values.
func TestAContextWithARequest(t *testing.T) {
	t.Parallel()
	type ginContext struct {
		context.Context
		Request *http.Request
	}
	type other struct {
		context.Context
		Request string
	}
	b := newBrowser(t, capture.Options{})
	b.handler = func(_ http.ResponseWriter, r *http.Request) {
		for _, ctx := range []context.Context{
			r.Context(), &ginContext{context.Background(), r}, ginContext{context.Background(), r}, onlyValues(r.Context().Value), &other{r.Context(), "x"},
		} {
			got, ok := capture.FromContext(ctx)
			assert.True(t, ok, "%T", ctx)
			assert.Equal(t, "o/s", got.Key())
		}
		for _, ctx := range []context.Context{
			&ginContext{Context: context.Background()}, onlyValues(func(any) any { return nil }), &other{context.Background(), "x"},
		} {
			_, ok := capture.FromContext(ctx)
			assert.False(t, ok, "%T", ctx)
		}
	}
	b.get(landing("o", "s"))
}

func TestCookiesThatBrowsersRefuse(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"co.uk", "herokuapp.com", "github.io", "GitHub.io", ".com", "uk"} {
		_, err := capture.New(capture.Options{Domain: domain})
		require.ErrorContains(t, err, "capture: Domain: browsers refuse cookies for all of ", domain)
	}
	for _, domain := range []string{"example.com.", "localhost."} {
		_, err := capture.New(capture.Options{Domain: domain})
		require.ErrorContains(t, err, "capture: Domain: ", domain)
	}
	for _, domain := range []string{"example.com", "Shop.Example.co.uk", "me.github.io", "localhost", "shop.internal"} {
		_, err := capture.New(capture.Options{Domain: domain})
		require.NoError(t, err, domain)
	}

	log, l := logger()
	const refuse = `level=WARN msg="capture: browsers refuse the cookie"`
	b := newBrowser(t, capture.Options{Domain: "shop.example", Logger: l})
	for range 3 {
		b.cookie = ""
		b.get("https://other.example/?submission=s&offer=o")
		b.get("https://notshop.example/?submission=s2&offer=o2")
	}
	for _, covered := range []string{"https://shop.example/", "https://WWW.Shop.Example:8443/", "https://a.b.shop.example./"} {
		b.cookie = ""
		b.get(covered + "?submission=s&offer=o")
	}
	assert.Equal(t, 2, strings.Count(log.String(), refuse), log.String())
	assert.Contains(t, log.String(), "Options.Domain does not cover the host")

	log, l = logger()
	b = newBrowser(t, capture.Options{Logger: l})
	plain := func(host string, header ...string) {
		b.cookie = ""
		b.get("http://"+host+"/?submission=s&offer=o", header...)
	}
	plain("localhost:8080")
	plain("127.0.0.1")
	plain("a.example", "X-Forwarded-Proto", "https")
	plain("b.example", "Forwarded", "for=192.0.2.1;proto=https")
	plain("c.example", "Sec-Fetch-Site", "cross-site")
	plain("d.example", "X-Forwarded-Ssl", "on")
	assert.NotContains(t, log.String(), refuse)
	for range 2 {
		plain("e.example")
	}
	plain("e.example:80")
	plain("E.example", "X-Forwarded-Proto", "http")
	assert.Equal(t, 1, strings.Count(log.String(), refuse))
	for i := range 300 {
		plain(fmt.Sprintf("h%d.example", i))
	}
	assert.Equal(t, 100, strings.Count(log.String(), refuse), "clients choose the Host header")
	b = newBrowser(t, capture.Options{Logger: l, Insecure: true})
	log.Reset()
	plain("f.example")
	assert.Empty(t, log.String())
}

// TestDomainAtTheApex: Go's cookiejar treats a host's cookie and its domain's
// as the same.
func TestDomainAtTheApex(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	u, err := url.Parse("https://shop.example/")
	require.NoError(t, err)
	visit := func(o capture.Options, query string) (keys []string) {
		o.Logger = slog.New(slog.DiscardHandler)
		c, err := capture.New(o)
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodGet, "https://shop.example/"+query, nil)
		for _, cookie := range jar.Cookies(u) {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		c.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for _, t := range capture.All(r.Context()) {
				keys = append(keys, t.Key())
			}
		})).ServeHTTP(w, r)
		jar.SetCookies(u, w.Result().Cookies())
		return keys
	}
	assert.Equal(t, []string{"a/s"}, visit(capture.Options{}, "?submission=s&offer=a"))
	apex := capture.Options{Domain: "shop.example"}
	assert.Len(t, visit(apex, "?submission=s&offer=b"), 2)
	assert.Len(t, visit(apex, "?submission=s&offer=c"), 3)
	assert.Len(t, visit(apex, ""), 3)
}

func TestRoomForClicks(t *testing.T) {
	t.Parallel()
	log, l := logger()
	b := newBrowser(t, capture.Options{MaxOffers: 2, Logger: l})
	b.get(landing("a", "s"))
	b.now = b.now.Add(time.Hour)
	b.get(landing("b", "s"))
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, b.c.Save(w, r, sparkloop.Tracking{Offer: "old", Submission: "s", CapturedAt: noon.Add(-day)}))
	}
	b.get(page)
	b.handler = nil
	b.get(page)
	assert.Equal(t, []string{"b/s", "a/s"}, b.keys(), "an older click evicts no newer one")
	assert.Equal(t, 1, strings.Count(log.String(), "level=INFO"))
	assert.Contains(t, log.String(), "offer=old")

	b.get(landing("c", "s"))
	assert.ElementsMatch(t, []string{"c/s", "b/s"}, b.keys())
	assert.Contains(t, log.String(), "offer=a")
}

func TestIsVisit(t *testing.T) {
	t.Parallel()
	r := func(method string, header ...string) *http.Request {
		r := httptest.NewRequest(method, page, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	assert.True(t, capture.IsVisit(r(http.MethodGet)))
	assert.True(t, capture.IsVisit(r(http.MethodPost, "Sec-Purpose", "")))
	for _, no := range []*http.Request{
		r(http.MethodHead), r(http.MethodOptions), r(http.MethodGet, "Sec-Purpose", "prefetch;prerender"), r(http.MethodGet, "Purpose", "prefetch"),
		r(http.MethodGet, "X-Moz", "prefetch"), r(http.MethodGet, "X-Purpose", "preview"),
	} {
		assert.False(t, capture.IsVisit(no))
		b := newBrowser(t, capture.Options{})
		w := httptest.NewRecorder()
		no.URL.RawQuery = "submission=s&offer=o"
		b.c.Handler(http.NotFoundHandler()).ServeHTTP(w, no)
		assert.Len(t, w.Header()["Set-Cookie"], 1, "the click is captured")
	}
}
