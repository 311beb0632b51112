// Package browser drives Chromium in the tests of the examples: over https, with
// several hosts, and with a new profile for each tab.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Browser is a running Chromium.
type Browser struct{ ctx context.Context }

// Start needs a Chromium. Where there is none the test is skipped, but not in
// CI, which installs one.
func Start(t *testing.T) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no chromium in PATH, and CI=true requires the browser tests")
		}
		t.Skip("there is no chromium in PATH: the browser tests are skipped")
	}
	_, pin := certificate()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], // headless, with a new profile
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // for root, as in a container
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 1000), // nothing to click is under a banner
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// Back requests the page again: a page kept in memory proves nothing.
		chromedp.Flag("disable-features", "BackForwardCache"),
		chromedp.Flag("host-resolver-rules", "MAP *.example.test 127.0.0.1, MAP *.example.org 127.0.0.1, MAP *.example.net 127.0.0.1, MAP *.github.io 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", pin),
		chromedp.WSURLReadTimeout(time.Minute), // for a busy machine
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx), "start chromium")
	return &Browser{ctx}
}

// Tab opens a window in a profile of its own.
func (b *Browser) Tab(t *testing.T) *Tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return &Tab{t, ctx}
}
