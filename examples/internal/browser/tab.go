package browser

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// TrackingCookie is the name that package capture gives its cookie.
const TrackingCookie = "sparkloop_t"

// Tab is a window of the browser. A step that fails, or is not over after five
// minutes, fails the test.
type Tab struct {
	t   *testing.T
	ctx context.Context
}

// Do runs steps that stay on the page.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// Page runs a step that leads to another page, and waits for that page.
func (b *Tab) Page(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, step)
	require.NoError(b.t, err)
	if resp != nil { // nil if the page was prefetched
		require.EqualValues(b.t, 200, resp.Status, resp.URL)
	}
}

// Open goes to a URL.
func (b *Tab) Open(url string) { b.t.Helper(); b.Page(chromedp.Navigate(url)) }

// Click clicks on what leads to another page.
func (b *Tab) Click(css string) { b.t.Helper(); b.Page(chromedp.Click(chromedp.CSS(css))) }

// Press clicks on what stays on the page.
func (b *Tab) Press(css string) { b.t.Helper(); b.Do(chromedp.Click(chromedp.CSS(css))) }

// Type types into a field.
func (b *Tab) Type(css, text string) {
	b.t.Helper()
	b.Do(chromedp.SendKeys(chromedp.CSS(css), text))
}

// Sees waits until the page shows an element.
func (b *Tab) Sees(css string) { b.t.Helper(); b.Do(chromedp.WaitVisible(chromedp.CSS(css))) }

// Misses waits until the page has no such element.
func (b *Tab) Misses(css string) { b.t.Helper(); b.Do(chromedp.WaitNotPresent(chromedp.CSS(css))) }

// At is the URL in the address bar.
func (b *Tab) At() string { b.t.Helper(); return b.Eval("location.href") }

// Eval runs a script that returns a text.
func (b *Tab) Eval(script string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script))
	require.NoError(b.t, err, script)
	return text
}

// Cookies are those that the browser sends to a URL.
func (b *Tab) Cookies(url string) map[string]*network.Cookie {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	})
	require.NoError(b.t, err)
	byName := make(map[string]*network.Cookie)
	for _, c := range got.Cookies {
		byName[c.Name] = c
	}
	return byName
}

// Kept is the value of the tracking cookie for a URL, "" without one.
func (b *Tab) Kept(url string) string {
	b.t.Helper()
	if c := b.Cookies(url)[TrackingCookie]; c != nil {
		return c.Value
	}
	return ""
}

// Keeps asserts that the cookie holds these trackings, the newest first. The
// time of a capture may be a second later than that of the click.
func (b *Tab) Keeps(url string, want ...sparkloop.Tracking) {
	b.t.Helper()
	keys := []string{}
	for _, t := range want {
		keys = append(keys, t.Key())
	}
	assert.Equal(b.t, keys, Keys(b.Kept(url)))
}

// Keys are the trackings in a cookie's value. What is no tracking is left out:
// clicks that are spent.
func Keys(value string) []string {
	keys := []string{}
	for part := range strings.SplitSeq(value, "~") {
		if t, err := sparkloop.DecodeTracking(part); err == nil {
			keys = append(keys, t.Key())
		}
	}
	return keys
}
