package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Screens calls visit on a desktop and a phone, light and dark. Each picture that
// visit takes is written to dir, and must not scroll sideways. With window it
// shows the window, without it the whole page.
func Screens(t *testing.T, b *Browser, dir string, visit func(tab *Tab, take func(name string, window bool))) {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	require.NoError(t, os.MkdirAll(dir, 0o750))
	for device, size := range map[string][2]int64{"desktop": {1280, 800}, "phone": {390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			tab := b.Tab(t)
			tab.Do(chromedp.EmulateViewport(size[0], size[1]), prefers(scheme))
			visit(tab, func(name string, window bool) {
				t.Helper()
				shot := chromedp.FullScreenshot(100)
				if window {
					shot = chromedp.CaptureScreenshot()
				}
				picture, err := chromedp.Run(tab.ctx, shot)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, device+"-"+scheme+"-"+name+".png"), picture, 0o600))
				tooWide, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
				require.NoError(t, err)
				require.False(t, tooWide, "%s scrolls sideways on a %s", name, device)
			})
		}
	}
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
