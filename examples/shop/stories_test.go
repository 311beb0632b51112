package main

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/browser"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func crossSiteRedirect(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	tracking := s.read(tab, "")
	assert.Equal(t, s.url(shopHost, "/?utm_source=letter"), tab.At(), "without the ids")

	cookie := tab.Cookies(tab.At())[browser.TrackingCookie]
	require.NotNil(t, cookie)
	assert.Equal(t, []string{tracking.Key()}, browser.Keys(cookie.Value))
	assert.True(t, cookie.HTTPOnly)
	assert.True(t, cookie.Secure)
	assert.EqualValues(t, "Lax", cookie.SameSite)
	assert.Equal(t, shopHost, cookie.Domain)
	assert.WithinDuration(t, time.Now().Add(45*day), time.Unix(int64(cookie.Expires), 0), 2*time.Minute)
}

func purchaseDaysLater(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	tracking := s.read(tab, "")
	s.advance(3 * day)
	tab.Open(s.url(shopHost, "/"))
	tab.Click("main .button")
	tab.signUp(reader)
	s.advance(30 * day)
	tab.Open(s.url(shopHost, "/"))
	tab.Click("main .button")
	tab.buy()
	s.confirmed(tracking)
	tab.Keeps(tab.At()) // the cookie has only a mark that the click is used
}

// The landing URL of a purchase stays in bookmarks, tabs and the history.
func oldURLAgain(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	old, first := s.api.Click("", s.url(shopHost, "/"))
	tab.Open(old)
	tab.Click("main .button")
	tab.signUp(reader)
	tab.buy()
	s.confirmed(first)
	tab.Open(old)
	tab.Keeps(tab.At()) // the used click does not come back

	second := s.read(tab, "")
	tab.Open(old)
	tab.Keeps(tab.At(), second)
	tab.Click("main .button")
	tab.buy()
	s.confirmed(second)
}

// A payment's callback confirms, and the buyer never comes back: nobody clears the
// cookie.
func cookieStays(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	first := s.read(tab, "")
	tab.Open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	bank := s.visitor()
	pay := func(id string) {
		form := url.Values{"payment": {id}, "email": {reader}, "signature": {hex.EncodeToString(sign(testSecret, id, reader))}}
		require.Equal(t, http.StatusOK, bank.post("/payment", form))
	}
	pay("pay-1")
	s.confirmed(first)
	tab.Keeps(s.url(shopHost, "/"), first)

	second := s.read(tab, "")
	tab.Keeps(tab.At(), second)
	tab.Click("main .button")
	tab.buy()
	s.confirmed(second)
}

// SparkLoop's script, which was there first, has the first click in its cookie.
// Both must confirm the same one. Its cookie stays, and the next click counts.
func scriptBeside(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	_, first := s.api.Click("", "")
	tab.Open(s.url(shopHost, "/"))
	tab.Eval(`document.cookie = "sl_submission_` + first.Offer + "=" + first.Submission + `; domain=example.test; path=/; max-age=2592000; SameSite=Lax"`)
	second := s.read(tab, "")
	tab.Keeps(tab.At(), first)
	tab.Open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	tab.buy()
	s.confirmed(first)
	assert.False(t, s.api.Confirmed(second))

	third := s.read(tab, "")
	tab.Click("main .button")
	tab.buy()
	s.confirmed(third)
	assert.False(t, s.api.Confirmed(second))
}

// refused tries what browsers refuse, and finds the reason in the log.
func refused(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t, func(c *config) { c.domain = "another.example.test" }), tab{b.Tab(t)}
	s.read(tab, "")
	tab.Keeps(tab.At())
	assert.Contains(t, s.log.String(), "browsers refuse the cookie")

	s = newSites(t)
	plain := strings.Replace(s.http.URL, "127.0.0.1", shopHost, 1)
	landing, _ := s.api.Click("", plain+"/")
	tab.Open(landing)
	tab.Keeps(plain)
	assert.Contains(t, s.log.String(), "browsers refuse the cookie")

	// A public suffix is an error at start, and the browser agrees.
	_, err := newShop(config{store: s.shop.store, domain: "github.io"})
	require.ErrorContains(t, err, "Domain")
	tab.Open(s.url(suffixHost, "/"))
	assert.Len(t, tab.Cookies(tab.At()), 1)
	assert.Contains(t, tab.Cookies(tab.At()), "of-the-host")
}

func secondClickAfter45Days(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	first := s.read(tab, "")
	tab.Open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	s.advance(46 * day)
	second := s.read(tab, "")
	tab.Keeps(tab.At(), second)
	tab.Click("main .button")
	tab.buy()
	assert.False(t, s.api.Confirmed(first))
	s.confirmed(second)
}

func subdomainOnlyWithDomain(t *testing.T, b *browser.Browser) {
	for _, domain := range []string{"", shopHost} {
		s, tab := newSites(t, func(c *config) { c.domain = domain }), tab{b.Tab(t)}
		tracking := s.read(tab, "")
		tab.Keeps(s.url(shopHost, "/"), tracking)

		// The subdomain's own pages see it, or not.
		tab.Open(s.url(appHost, "/signup"))
		tab.signUp(reader)
		if domain == "" {
			tab.Keeps(tab.At())
			assert.True(t, s.row(reader).IsZero())
			continue
		}
		tab.Keeps(tab.At(), tracking)
		tab.buy()
		s.confirmed(tracking)
		tab.Keeps(s.url(shopHost, "/")) // cleared for both
	}
}

func secondOffer(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	other := s.api.AddOffer(sparkloop.Offer{})
	first := s.read(tab, "")
	tab.Open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	before := tab.Kept(tab.At())

	s.advance(day)
	second := s.read(tab, other.UUID)
	tab.Keeps(tab.At(), second, first)
	assert.Contains(t, tab.Kept(tab.At()), before, "as it was, to the second")

	tab.Click("main .button")
	tab.buy()
	s.confirmed(first)
	tab.Keeps(tab.At(), second)
	tab.Open(s.url(shopHost, "/checkout"))
	tab.buy()
	s.confirmed(second)
	tab.Keeps(tab.At())
}

func scriptsCannotRead(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	tracking := s.read(tab, "")
	tab.Keeps(tab.At(), tracking)
	assert.Equal(t, "seen=1", tab.Eval(`document.cookie = "seen=1"; document.cookie`), "the script's own alone")
	tab.Eval(`document.cookie = "` + browser.TrackingCookie + `=x"; ""`)
	tab.Keeps(tab.At(), tracking) // nor overwrite
}

// crossSiteFormPost is a payment's callback: the payment site has the browser
// send a form to the shop.
func crossSiteFormPost(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	tracking := s.read(tab, "")
	tab.Open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	assert.Equal(t, []string{browser.TrackingCookie}, s.cookiesOfLastForm(), "the shop's own forms have it")

	const form = `<form method="post" action="%s">
		<input name="payment" value="pay-1"><input name="email" value="%s"><input name="signature" value="%s">
		<button id="pay">Pay</button></form>`
	s.openLetter(tab, fmt.Sprintf(form, s.url(shopHost, "/payment"), reader, hex.EncodeToString(sign(testSecret, "pay-1", reader))))
	tab.Click("#pay")
	tab.Sees("main#thanks")
	assert.Empty(t, s.cookiesOfLastForm(), "another site's form has none")
	s.order("pay-1", outbox.Confirmed)
	s.confirmed(tracking)
	tab.Keeps(tab.At()) // the page after it has the cookie, and clears it
}

// prefetched has the landing page of a new click fetched by head, then clicks
// on the link to it and buys.
func prefetched(t *testing.T, b *browser.Browser, head func(url string) string) {
	s, tab := newSites(t), tab{b.Tab(t)}
	landing, tracking := s.api.Click("", s.url(shopHost, "/"))
	s.openLetter(tab, head(landing)+link(landing))
	select {
	case r := <-s.prefetched:
		t.Logf("prefetched as %q, with the cookies %q", r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Cookie"))
	case <-time.After(20 * time.Second):
		t.Fatal("the browser has not prefetched")
	}
	tab.Click("#link")
	tab.Sees("main#landing")
	t.Logf("the page came by %q", tab.Eval(`performance.getEntriesByType("navigation")[0].deliveryType`))
	assert.Equal(t, s.url(shopHost, "/"), tab.At())
	tab.Keeps(tab.At(), tracking)
	tab.Click("main .button")
	tab.signUp(reader)
	tab.buy()
	s.confirmed(tracking)
}

func prefetchByLink(t *testing.T, b *browser.Browser) {
	prefetched(t, b, func(url string) string { return `<link rel="prefetch" as="document" href="` + url + `">` })
}

func prefetchByRule(t *testing.T, b *browser.Browser) {
	prefetched(t, b, func(url string) string {
		return `<script type="speculationrules">{"prefetch":[{"source":"list","urls":["` + url + `"],"eagerness":"immediate"}]}</script>`
	})
}

func backAndReload(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	tracking := s.read(tab, "")
	before := tab.Kept(tab.At())
	tab.Keeps(tab.At(), tracking)
	s.advance(day) // a new capture would show
	tab.Page(chromedp.Reload())
	tab.Click("main .button")
	tab.Page(chromedp.NavigateBack())
	assert.Equal(t, s.url(shopHost, "/?utm_source=letter"), tab.At())
	tab.Page(chromedp.NavigateBack())
	assert.Equal(t, s.url(letterHost, "/"), tab.At(), "the redirects are no pages of the history")
	tab.Page(chromedp.NavigateForward())
	assert.Equal(t, before, tab.Kept(tab.At()))
	assert.Empty(t, s.clicked, "and SparkLoop saw one click")
}

func consentGivenLate(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t, func(c *config) { c.consent = true }), tab{b.Tab(t)}
	tracking := s.read(tab, "")
	tab.Sees(".consent")
	assert.Empty(t, tab.Cookies(tab.At()), "nothing is stored before the answer")
	tab.Click(".consent button[value=yes]")
	tab.Misses(".consent")
	assert.Equal(t, s.url(shopHost, "/"), tab.At())
	tab.Keeps(tab.At(), tracking)
	tab.Click("main .button")
	tab.signUp(reader)
	tab.buy()
	s.confirmed(tracking)
}

func statusPageRefreshes(t *testing.T, b *browser.Browser) {
	s, tab := newSites(t), tab{b.Tab(t)}
	tab.Open(s.url(shopHost, "/status"))
	tab.Sees(".empty")
	v := s.visitor()
	s.click(v, "")
	tab.Sees(".what.click")
	v.signUp(reader)
	v.buy()
	tab.Sees(".what.confirmed")
}
