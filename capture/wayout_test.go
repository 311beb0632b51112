package capture_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
)

const landed = "https://shop.example/?submission=s&offer=o"

func quiet(t *testing.T, o capture.Options) *capture.Capture {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	c, err := capture.New(o)
	require.NoError(t, err)
	return c
}

func TestAfterAPanicThatIsRecovered(t *testing.T) {
	t.Parallel()
	c := quiet(t, capture.Options{})
	inner := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, c.Save(w, r, sparkloop.Tracking{Offer: "p", Submission: "s"}))
		panic("a bug")
	}))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			assert.Equal(t, "a bug", recover())
			w.WriteHeader(http.StatusInternalServerError)
		}()
		inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	}()
	assert.Contains(t, w.Header().Get("Set-Cookie"), "v1.o.s.")
	assert.Contains(t, w.Header().Get("Set-Cookie"), "v1.p.s.")
	assert.Equal(t, "private, no-store", w.Header().Get("Cache-Control"))
}

// TestAnUpgradeThroughAReverseProxy: the proxy writes its 101 to the
// connection.
func TestAnUpgradeThroughAReverseProxy(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nCache-Control: public\r\n\r\nhello")
		assert.NoError(t, rw.Flush())
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	require.NoError(t, err)
	proxy := httptest.NewServer(quiet(t, capture.Options{}).Handler(httputil.NewSingleHostReverseProxy(target)))
	defer proxy.Close()
	conn, err := net.Dial("tcp", proxy.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /?submission=s&offer=o HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	assert.Contains(t, resp.Header.Get("Set-Cookie"), "v1.o.s.")
	hello := make([]byte, 5)
	_, err = io.ReadFull(reader, hello)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(hello))
}

func TestUnderATimeoutHandler(t *testing.T) {
	t.Parallel()
	c := quiet(t, capture.Options{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, flusher := w.(http.Flusher)
		assert.False(t, flusher, "the wrapped writer cannot flush")
		assert.ErrorIs(t, http.NewResponseController(w).Flush(), errors.ErrUnsupported)
		assert.NoError(t, c.Save(w, r, sparkloop.Tracking{Offer: "p", Submission: "s"}), "nothing was sent")
		w.Header().Set("Cache-Control", "public")
		fmt.Fprint(w, "page")
	})
	for name, h := range map[string]http.Handler{
		"within":  http.TimeoutHandler(c.Handler(handler), time.Minute, "late"),
		"outside": c.Handler(http.TimeoutHandler(handler, time.Minute, "late")),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
		assert.Equal(t, "page", w.Body.String(), name)
		assert.Len(t, w.Header()["Set-Cookie"], 1, name)
		assert.Contains(t, w.Header().Get("Set-Cookie"), "v1.p.s.", name)
		assert.Equal(t, "private, no-store", w.Header().Get("Cache-Control"), name)
	}
	w := httptest.NewRecorder()
	c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() //nolint:forcetypeassert // that is the test
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	assert.True(t, w.Flushed)
	assert.Len(t, w.Header()["Set-Cookie"], 1)
}

// TestATimeoutOutlives: the page is late, and the 503 has the cookie.
func TestATimeoutOutlives(t *testing.T) {
	t.Parallel()
	c := quiet(t, capture.Options{})
	release := make(chan struct{})
	h := c.Handler(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		c.Clear(w, r)
	}), time.Nanosecond, "late"))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	close(release)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Header().Get("Set-Cookie"), "v1.o.s.")
}

type pusher struct {
	http.ResponseWriter
	pushed string
}

func (p *pusher) Push(target string, _ *http.PushOptions) error {
	p.pushed = target
	return nil
}

func TestPush(t *testing.T) {
	t.Parallel()
	c := quiet(t, capture.Options{})
	push := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		err := w.(http.Pusher).Push("/style.css", nil) //nolint:forcetypeassert // that is the test
		fmt.Fprint(w, err)
	}))
	p := &pusher{ResponseWriter: httptest.NewRecorder()}
	push.ServeHTTP(p, httptest.NewRequest(http.MethodGet, landed, nil))
	assert.Equal(t, "/style.css", p.pushed)
	w := httptest.NewRecorder()
	push.ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	assert.Equal(t, http.ErrNotSupported.Error(), w.Body.String())
}

// TestReadFrom: io.Copy uses the path on which net/http sends files.
func TestReadFrom(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	quiet(t, capture.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("file")) //nolint:forcetypeassert // that is the test
		assert.NoError(t, err)
		assert.EqualValues(t, 4, n)
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	assert.Len(t, w.Result().Cookies(), 1)
	assert.Equal(t, "file", w.Body.String())
}

// TestNestedCaptures: each Capture has its own visit and cookie.
func TestNestedCaptures(t *testing.T) {
	t.Parallel()
	outer, inner := quiet(t, capture.Options{}), quiet(t, capture.Options{CookieName: "partner_t", Offers: []string{"o"}})
	w := httptest.NewRecorder()
	outer.Handler(inner.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, ok := capture.FromContext(r.Context())
		assert.True(t, ok)
		assert.Equal(t, "o/s", got.Key())
		assert.NoError(t, outer.Save(w, r, sparkloop.Tracking{Offer: "p", Submission: "outer"}))
		assert.Error(t, inner.Save(w, r, sparkloop.Tracking{Offer: "p", Submission: "inner"}))
		assert.Len(t, capture.All(r.Context()), 1, "the innermost counts")
		inner.Clear(w, r)
		assert.Empty(t, capture.All(r.Context()))
	}))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	cookies := map[string]string{}
	for _, c := range w.Result().Cookies() {
		cookies[c.Name] = c.Value
	}
	require.Len(t, cookies, 2)
	assert.Contains(t, cookies["sparkloop_t"], "v1.o.s.")
	assert.Contains(t, cookies["sparkloop_t"], "v1.p.outer.")
	assert.True(t, strings.HasPrefix(cookies["partner_t"], "x."), cookies["partner_t"])

	// Two Captures of one name, as in a router and its group: the inner
	// Capture's Clear takes effect.
	first, second := quiet(t, capture.Options{}), quiet(t, capture.Options{})
	w = httptest.NewRecorder()
	first.Handler(second.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { second.Clear(w, r) }))).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, landed, nil))
	require.Len(t, w.Result().Cookies(), 1)
	assert.True(t, strings.HasPrefix(w.Result().Cookies()[0].Value, "x."))
}
