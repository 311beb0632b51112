package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// TestInABrowser drives the shop in Chromium over https. The browser is one;
// each story has a profile of its own in it, and its own shop.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	for name, story := range map[string]func(*testing.T, *browser){
		"cross-site redirect":              crossSiteRedirect,
		"a purchase days later":            purchaseDaysLater,
		"a second click after 45 days":     secondClickAfter45Days,
		"a subdomain only with Domain":     subdomainOnlyWithDomain,
		"a second offer":                   secondOffer,
		"scripts cannot read the cookie":   scriptsCannotRead,
		"cross-site form post":             crossSiteFormPost,
		"prefetch by a link, then a click": prefetchByLink,
		"prefetch by a rule, then a click": prefetchByRule,
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

// browser is a running Chromium.
type browser struct{ ctx context.Context }

// startBrowser needs a Chromium. Where there is none the test is skipped, but
// not in CI, which installs one.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no chromium in PATH, and CI=true requires the browser tests")
		}
		t.Skip("there is no chromium in PATH: the browser tests are skipped")
	}
	_, pin := testCertificate()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], // headless, with a new profile
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // for root, as in a container
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// Back asks the shop again: a page that is kept as it was proves nothing.
		chromedp.Flag("disable-features", "BackForwardCache"),
		// These hosts are here, and there are no others.
		chromedp.Flag("host-resolver-rules", "MAP *.example.test 127.0.0.1, MAP *.example.org 127.0.0.1, MAP *.example.net 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", pin),
		chromedp.WSURLReadTimeout(time.Minute), // for a busy machine
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx), "start chromium")
	return &browser{ctx}
}

// testCertificate makes one for all hosts. Nobody trusts it but the browser
// that is told the pin of its key.
var testCertificate = sync.OnceValues(func() (cert tls.Certificate, pin string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{shopHost, appHost, letterHost, clickHost},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(day),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(err)
	sum := sha256.Sum256(public)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.StdEncoding.EncodeToString(sum[:])
})

// tab is a window of the browser in a profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (b *browser) tab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return &tab{t, ctx}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// page carries out what leads to another page, and waits until it is there.
func (b *tab) page(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, step)
	require.NoError(b.t, err)
	if resp != nil { // nil if the page was prefetched
		require.EqualValues(b.t, 200, resp.Status, resp.URL)
	}
}

func (b *tab) open(url string) { b.t.Helper(); b.page(chromedp.Navigate(url)) }

// click clicks on what leads to another page.
func (b *tab) click(css string) { b.t.Helper(); b.page(chromedp.Click(chromedp.CSS(css))) }

// at is what the address bar shows.
func (b *tab) at() string { b.t.Helper(); return b.eval("location.href") }

func (b *tab) eval(script string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script))
	require.NoError(b.t, err, script)
	return text
}

// cookies are those that the browser would send to a URL.
func (b *tab) cookies(url string) map[string]*network.Cookie {
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

// kept is the value of the tracking cookie for a URL, "" without one.
func (b *tab) kept(url string) string {
	b.t.Helper()
	if c := b.cookies(url)[trackingCookie]; c != nil {
		return c.Value
	}
	return ""
}

// keeps asserts that the cookie holds these trackings, the newest first. The
// second of a capture may be one later than that of the click.
func (b *tab) keeps(url string, want ...sparkloop.Tracking) {
	b.t.Helper()
	keys := []string{}
	for _, t := range want {
		keys = append(keys, t.Key())
	}
	assert.Equal(b.t, keys, keysOf(b.t, b.kept(url)))
}

// signUp fills in the form of the page.
func (b *tab) signUp(email string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#email"), email))
	b.click("main button")
	b.do(chromedp.WaitVisible(chromedp.CSS("main#checkout")))
}

// buy presses the button of the checkout page.
func (b *tab) buy() {
	b.t.Helper()
	b.click("main button")
	b.do(chromedp.WaitVisible(chromedp.CSS("main#thanks")))
}
