package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// TestScreenshots holds all pages to their width, on a desktop and a phone, light
// and dark, and takes pictures of them, which people may look at:
//
//	SHOP_SCREENSHOTS=/tmp/shop go test -run Screenshots ./shop
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SHOP_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	b := startBrowser(t)
	for name, size := range map[string][2]int64{"desktop": {1280, 800}, "phone": {390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			tab := b.tab(t)
			tab.do(chromedp.EmulateViewport(size[0], size[1]), prefers(scheme))
			takeAll(t, tab, func(page string) {
				shot := chromedp.FullScreenshot(100)
				if page == "landing-consent" {
					shot = chromedp.CaptureScreenshot() // the banner stays at the window's foot
				}
				picture, err := chromedp.Run(tab.ctx, shot)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, name+"-"+scheme+"-"+page+".png"), picture, 0o600))
				tooWide, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
				require.NoError(t, err)
				require.False(t, tooWide, "%s scrolls sideways on a %s", page, name)
			})
		}
	}
}

// takeAll goes through the pages with everything on them that they may have.
func takeAll(t *testing.T, tab *tab, take func(page string)) {
	t.Helper()
	s := newSites(t, func(c *config) { c.consent = true })
	tab.open(s.url(shopHost, "/status?paused"))
	take("status-empty")
	tracking := s.read(tab, "")
	take("landing-consent")
	tab.click(".consent button[value=yes]")
	take("landing")
	tab.click("main .button")
	take("signup")
	tab.do(chromedp.SendKeys(chromedp.CSS("#email"), "reader@x..y"), chromedp.Evaluate[chromedp.Void](`document.forms[0].noValidate = true`))
	_, err := chromedp.RunResponse(tab.ctx, chromedp.Click(chromedp.CSS("main button")))
	require.NoError(t, err)
	take("signup-problem")
	tab.open(s.url(shopHost, "/signup"))
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
	tab.open(s.url(shopHost, "/status?paused"))
	take("status")
}

// prefers sets the color scheme that the visitor prefers.
func prefers(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
