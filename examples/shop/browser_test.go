package main

import (
	"testing"

	"github.com/sparkloop-go/sparkloop/examples/internal/browser"
)

// TestInABrowser drives the shop in Chromium over https. The browser is one;
// each story has a profile of its own in it, and its own shop.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := browser.Start(t)
	for name, story := range map[string]func(*testing.T, *browser.Browser){
		"cross-site redirect":              crossSiteRedirect,
		"a purchase days later":            purchaseDaysLater,
		"a second click after 45 days":     secondClickAfter45Days,
		"a subdomain only with Domain":     subdomainOnlyWithDomain,
		"a second offer":                   secondOffer,
		"scripts cannot read the cookie":   scriptsCannotRead,
		"cross-site form post":             crossSiteFormPost,
		"prefetch by a link, then a click": prefetchByLink,
		"prefetch by a rule, then a click": prefetchByRule,
		"the old URL again":                oldURLAgain,
		"a webhook, and the cookie stays":  cookieStays,
		"SparkLoop's script beside":        scriptBeside,
		"cookies that browsers refuse":     refused,
		"back and reload":                  backAndReload,
		"consent given late":               consentGivenLate,
		"the status page, without scripts": statusPageRefreshes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, b)
		})
	}
}

// tab is a window of the browser, in the shop.
type tab struct{ *browser.Tab }

// signUp fills in the form of the page.
func (b tab) signUp(email string) {
	b.Type("#email", email)
	b.Click("main button")
	b.Sees("main#checkout")
}

// buy presses the button of the checkout page.
func (b tab) buy() {
	b.Click("main button")
	b.Sees("main#thanks")
}
