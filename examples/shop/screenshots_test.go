package main

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/browser"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// TestScreenshots holds all pages to their width, on a desktop and a phone, light
// and dark, and takes pictures of them, which people may look at:
//
//	SHOP_SCREENSHOTS=/tmp/shop go test -run Screenshots ./shop
func TestScreenshots(t *testing.T) {
	t.Parallel()
	browser.Screens(t, browser.Start(t), os.Getenv("SHOP_SCREENSHOTS"), func(b *browser.Tab, take func(string, bool)) {
		takeAll(t, tab{b}, func(page string) {
			take(page, page == "landing-consent") // the banner stays at the window's foot
		})
	})
}

// takeAll goes through the pages with everything on them that they may have.
func takeAll(t *testing.T, tab tab, take func(page string)) {
	t.Helper()
	s := newSites(t, func(c *config) { c.consent = true })
	tab.Open(s.url(shopHost, "/status?paused"))
	take("status-empty")
	tracking := s.read(tab, "")
	take("landing-consent")
	tab.Click(".consent button[value=yes]")
	take("landing")
	tab.Click("main .button")
	take("signup")
	tab.Type("#email", "reader@x..y")
	tab.Eval(`document.forms[0].noValidate = true; ""`)
	tab.Press("main button")
	tab.Sees("#problem")
	take("signup-problem")
	tab.Open(s.url(shopHost, "/signup"))
	tab.signUp(reader)
	take("checkout")
	tab.buy()
	take("thanks")
	s.confirmed(tracking)

	v := s.visitor()
	lead := s.api.AddOffer(sparkloop.Offer{ConversionType: sparkloop.ConversionLead})
	for i, offer := range []string{lead.UUID, ""} {
		session, err := s.shop.store.signUp(t.Context(), []string{"second@example.com", "third@example.org"}[i], s.click(v, offer))
		require.NoError(t, err)
		if offer == "" {
			s.api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
		}
		email, err := s.shop.store.session(t.Context(), session)
		require.NoError(t, err)
		o, err := s.shop.store.placeOrder(t.Context(), newID(), email, sparkloop.Tracking{})
		require.NoError(t, err)
		s.order(o.ID, []outbox.State{outbox.Dead, outbox.Pending}[i])
		require.Eventually(t, func() bool {
			e, _, err := s.shop.store.queue.Lookup(t.Context(), o.Tracking)
			return err == nil && e.Reason != ""
		}, 20*time.Second, 5*time.Millisecond)
	}
	tab.Open(s.url(shopHost, "/status?paused"))
	take("status")
}
