package main

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func crossSiteRedirect(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	tracking := s.read(tab, "")
	assert.Equal(t, s.url(shopHost, "/?utm_source=letter"), tab.at(), "without the ids")

	cookie := tab.cookies(tab.at())[trackingCookie]
	require.NotNil(t, cookie)
	assert.Equal(t, []string{tracking.Key()}, keysOf(t, cookie.Value))
	assert.True(t, cookie.HTTPOnly)
	assert.True(t, cookie.Secure)
	assert.EqualValues(t, "Lax", cookie.SameSite)
	assert.Equal(t, shopHost, cookie.Domain)
	assert.WithinDuration(t, time.Now().Add(45*day), time.Unix(int64(cookie.Expires), 0), 2*time.Minute)
}

func purchaseDaysLater(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	tracking := s.read(tab, "")
	s.advance(3 * day)
	tab.open(s.url(shopHost, "/"))
	tab.click("main .button")
	tab.signUp(reader)
	s.advance(30 * day)
	tab.open(s.url(shopHost, "/"))
	tab.click("main .button")
	tab.buy()
	s.confirmed(tracking)
	assert.Empty(t, tab.kept(tab.at()), "the cookie has let go of it")
}

func secondClickAfter45Days(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	first := s.read(tab, "")
	tab.open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	s.advance(46 * day)
	second := s.read(tab, "")
	tab.keeps(tab.at(), second)
	tab.click("main .button")
	tab.buy()
	assert.False(t, s.api.Confirmed(first))
	s.confirmed(second)
}

func subdomainOnlyWithDomain(t *testing.T, b *browser) {
	for _, domain := range []string{"", shopHost} {
		s, tab := newSites(t, func(c *config) { c.domain = domain }), b.tab(t)
		tracking := s.read(tab, "")
		tab.keeps(s.url(shopHost, "/"), tracking)

		// The subdomain's own pages see it, or not.
		tab.open(s.url(appHost, "/signup"))
		tab.signUp(reader)
		if domain == "" {
			tab.keeps(tab.at())
			assert.True(t, s.row(reader).IsZero())
			continue
		}
		tab.keeps(tab.at(), tracking)
		tab.buy()
		s.confirmed(tracking)
		tab.keeps(s.url(shopHost, "/")) // cleared for both
	}
}

func secondOffer(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	other := s.api.AddOffer(sparkloop.Offer{})
	first := s.read(tab, "")
	tab.open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	before := tab.kept(tab.at())

	s.advance(day)
	second := s.read(tab, other.UUID)
	tab.keeps(tab.at(), second, first)
	assert.Contains(t, tab.kept(tab.at()), before, "as it was, to the second")

	tab.click("main .button")
	tab.buy()
	s.confirmed(first)
	tab.keeps(tab.at(), second)
	tab.open(s.url(shopHost, "/checkout"))
	tab.buy()
	s.confirmed(second)
	tab.keeps(tab.at())
}

func scriptsCannotRead(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	tracking := s.read(tab, "")
	tab.keeps(tab.at(), tracking)
	assert.Equal(t, "seen=1", tab.eval(`document.cookie = "seen=1"; document.cookie`), "the script's own alone")
	tab.eval(`document.cookie = "` + trackingCookie + `=x"; ""`)
	tab.keeps(tab.at(), tracking) // nor overwrite
}

// crossSiteFormPost is a payment's callback: the payment site has the browser
// send a form to the shop.
func crossSiteFormPost(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	tracking := s.read(tab, "")
	tab.open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	assert.Equal(t, []string{trackingCookie}, s.cookiesOfLastForm(), "the shop's own forms have it")

	const form = `<form method="post" action="%s">
		<input name="payment" value="pay-1"><input name="email" value="%s"><input name="signature" value="%s">
		<button id="pay">Pay</button></form>`
	s.openLetter(tab, fmt.Sprintf(form, s.url(shopHost, "/payment"), reader, hex.EncodeToString(sign(testSecret, "pay-1", reader))))
	tab.click("#pay")
	tab.do(chromedp.WaitVisible(chromedp.CSS("main#thanks")))
	assert.Empty(t, s.cookiesOfLastForm(), "another site's form has none")
	s.order("pay-1", outbox.Confirmed)
	s.confirmed(tracking)
	tab.keeps(tab.at()) // the page after it has the cookie, and clears it
}

// prefetched has the landing page of a new click fetched by head, then clicks
// on the link to it and buys.
func prefetched(t *testing.T, b *browser, head func(url string) string) {
	s, tab := newSites(t), b.tab(t)
	landing, tracking := s.api.Click("", s.url(shopHost, "/"))
	s.openLetter(tab, head(landing)+link(landing))
	select {
	case r := <-s.prefetched:
		t.Logf("prefetched as %q, with the cookies %q", r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Cookie"))
	case <-time.After(20 * time.Second):
		t.Fatal("the browser has not prefetched")
	}
	tab.click("#link")
	tab.do(chromedp.WaitVisible(chromedp.CSS("main#landing")))
	t.Logf("the page came by %q", tab.eval(`performance.getEntriesByType("navigation")[0].deliveryType`))
	assert.Equal(t, s.url(shopHost, "/"), tab.at())
	tab.keeps(tab.at(), tracking)
	tab.click("main .button")
	tab.signUp(reader)
	tab.buy()
	s.confirmed(tracking)
}

func prefetchByLink(t *testing.T, b *browser) {
	prefetched(t, b, func(url string) string { return `<link rel="prefetch" as="document" href="` + url + `">` })
}

func prefetchByRule(t *testing.T, b *browser) {
	prefetched(t, b, func(url string) string {
		return `<script type="speculationrules">{"prefetch":[{"source":"list","urls":["` + url + `"],"eagerness":"immediate"}]}</script>`
	})
}

func backAndReload(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	tracking := s.read(tab, "")
	before := tab.kept(tab.at())
	tab.keeps(tab.at(), tracking)
	s.advance(day) // a new capture would show
	tab.page(chromedp.Reload())
	tab.click("main .button")
	tab.page(chromedp.NavigateBack())
	assert.Equal(t, s.url(shopHost, "/?utm_source=letter"), tab.at())
	tab.page(chromedp.NavigateBack())
	assert.Equal(t, s.url(letterHost, "/"), tab.at(), "the redirects are no pages of the history")
	tab.page(chromedp.NavigateForward())
	assert.Equal(t, before, tab.kept(tab.at()))
	assert.Empty(t, s.clicked, "and SparkLoop saw one click")
}

func consentGivenLate(t *testing.T, b *browser) {
	s, tab := newSites(t, func(c *config) { c.consent = true }), b.tab(t)
	tracking := s.read(tab, "")
	tab.do(chromedp.WaitVisible(chromedp.CSS(".consent")))
	assert.Empty(t, tab.cookies(tab.at()), "nothing is stored before the answer")
	tab.click(".consent button[value=yes]")
	tab.do(chromedp.WaitNotPresent(chromedp.CSS(".consent")))
	assert.Equal(t, s.url(shopHost, "/"), tab.at())
	tab.keeps(tab.at(), tracking)
	tab.click("main .button")
	tab.signUp(reader)
	tab.buy()
	s.confirmed(tracking)
}

func statusPageRefreshes(t *testing.T, b *browser) {
	s, tab := newSites(t), b.tab(t)
	tab.open(s.url(shopHost, "/status"))
	tab.do(chromedp.WaitVisible(chromedp.CSS(".empty")))
	v := s.visitor()
	s.click(v, "")
	tab.do(chromedp.WaitVisible(chromedp.CSS(".what.click")))
	v.signUp(reader)
	v.buy()
	tab.do(chromedp.WaitVisible(chromedp.CSS(".what.confirmed")))
}
