package capture_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/capture"
)

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// pageViews returns page views without a tracking. BenchmarkHandler compares
// them with the cost of url.URL.Query.
func pageViews() (plain, withCookies *http.Request) {
	const page = "/article?utm_source=newsletter&utm_medium=email&page=2"
	plain = httptest.NewRequest(http.MethodGet, page, nil)
	withCookies = httptest.NewRequest(http.MethodGet, page, nil)
	withCookies.Header.Set("Cookie", "session=4f1c2b9a0d7e; theme=dark; lang=en; _ga=GA1.1.1234567.1700000000; consent=yes; cart=3")
	return plain, withCookies
}

func passing(tb testing.TB) http.Handler {
	tb.Helper()
	c, err := capture.New(capture.Options{CleanURL: true})
	require.NoError(tb, err)
	return c.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func BenchmarkPageView(b *testing.B) {
	plain, withCookies := pageViews()
	h, w := passing(b), discard{http.Header{}}
	b.Run("URL.Query", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plain.URL.Query()
		}
	})
	b.Run("capture", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, plain)
		}
	})
	b.Run("capture with six cookies", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, withCookies)
		}
	})
}

func TestAPageViewAllocatesNothing(t *testing.T) {
	plain, withCookies := pageViews()
	h, w := passing(t), discard{http.Header{}}
	for _, r := range []*http.Request{plain, withCookies} {
		assert.Zero(t, testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }))
	}
	assert.Empty(t, w.header)
}
