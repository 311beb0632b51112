package frameworks

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode) // it prints its routes otherwise
	os.Exit(m.Run())
}

var all = map[string]func(*Shop) http.Handler{"net/http": NetHTTP, "chi": Chi, "gin": Gin, "echo": Echo}

// stage is a shop with one framework, a fake SparkLoop, and a visitor.
type stage struct {
	api     *sparklooptest.Server
	queue   *programtest.Queue
	url     string
	visitor *http.Client
}

// each runs a test once for each framework.
func each(t *testing.T, o capture.Options, test func(*testing.T, stage)) {
	t.Helper()
	for name, framework := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			q, o := &programtest.Queue{}, o
			o.Enqueued = outbox.Enqueued(q)
			keep, err := capture.New(o)
			require.NoError(t, err)
			mux := http.NewServeMux()
			mux.Handle("/", framework(&Shop{keep, q, sparklooptest.DefaultOffer, slog.New(slog.DiscardHandler)}))
			mux.Handle("/silent", pages[name](keep))
			mux.Handle("/news", pages[name](keep))
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			test(t, stage{api, q, server.URL, &http.Client{
				Jar: jar, Transport: server.Client().Transport,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}})
		})
	}
}

// do sends a request and returns the answer with its body.
func (s stage) do(t *testing.T, method, address string) (*http.Response, string) {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = s.url + address
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	require.NoError(t, err)
	resp, err := s.visitor.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// kept is the cookie that the visitor's browser has, or "".
func (s stage) kept(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(s.url)
	require.NoError(t, err)
	for _, cookie := range s.visitor.Jar.Cookies(u) {
		if cookie.Name == "sparkloop_t" {
			return cookie.Value
		}
	}
	return ""
}

// assertPrivate asserts that a response has set the cookie, and that no cache
// may keep it.
func assertPrivate(t *testing.T, resp *http.Response) {
	t.Helper()
	assert.Len(t, resp.Cookies(), 1)
	assert.Equal(t, []string{"private, no-store"}, resp.Header["Cache-Control"])
}

func TestFromTheLandingToThePurchase(t *testing.T) {
	t.Parallel()
	each(t, capture.Options{}, func(t *testing.T, s stage) {
		landing, tracking := s.api.Click("", s.url+"/welcome?utm_source=news")
		resp, body := s.do(t, http.MethodGet, landing)
		assert.Equal(t, "Welcome!", body)
		assertPrivate(t, resp)
		kept, err := sparkloop.DecodeTracking(s.kept(t))
		require.NoError(t, err)
		assert.Equal(t, tracking.Key(), kept.Key())

		resp, _ = s.do(t, http.MethodGet, "/welcome") // looks around: nothing changes
		assert.Empty(t, resp.Cookies())
		assert.Empty(t, resp.Header["Cache-Control"])
		assert.Empty(t, s.queue.Keys())

		resp, body = s.do(t, http.MethodPost, "/buy")
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "Thank you!", body)
		assert.Equal(t, []string{tracking.Key()}, s.queue.Keys())
		assertPrivate(t, resp)
		assert.NotContains(t, resp.Cookies()[0].Value, tracking.Submission, "the next click counts again")

		s.do(t, http.MethodPost, "/buy") // a second purchase has no click behind it
		assert.Len(t, s.queue.Keys(), 1)
	})
}

// The cookie still has the click of an earlier purchase, because the browser did
// not get the answer.
func TestASecondSaleIsNotHidden(t *testing.T) {
	t.Parallel()
	each(t, capture.Options{}, func(t *testing.T, s stage) {
		landing, first := s.api.Click("", s.url+"/welcome")
		s.do(t, http.MethodGet, landing)
		require.NoError(t, s.queue.Enqueue(t.Context(), first))
		s.do(t, http.MethodPost, "/buy")
		assert.Equal(t, []string{first.Key()}, s.queue.Keys())

		landing, second := s.api.Click("", s.url+"/welcome")
		s.do(t, http.MethodGet, landing)
		s.do(t, http.MethodPost, "/buy")
		assert.Equal(t, []string{first.Key(), second.Key()}, s.queue.Keys())
	})
}

func TestTheBuyerClosesThePage(t *testing.T) {
	t.Parallel()
	for name, framework := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			keep, err := capture.New(capture.Options{})
			require.NoError(t, err)
			_, tracking := api.Click("", "")
			ctx, closePage := context.WithCancel(t.Context())
			closePage()
			r := httptest.NewRequest(http.MethodPost, "/buy", nil).WithContext(ctx)
			r.AddCookie(&http.Cookie{Name: "sparkloop_t", Value: tracking.Encode()})
			q := &programtest.Queue{}
			framework(&Shop{keep, q, tracking.Offer, slog.New(slog.DiscardHandler)}).ServeHTTP(httptest.NewRecorder(), r)
			assert.Equal(t, []string{tracking.Key()}, q.Keys())
		})
	}
}

func TestAVisitorWithoutTracking(t *testing.T) {
	t.Parallel()
	each(t, capture.Options{}, func(t *testing.T, s stage) {
		for _, request := range []struct{ method, path, body string }{
			{http.MethodGet, "/welcome?offer=summer", "Welcome!"},
			{http.MethodPost, "/buy", "Thank you!"},
			{http.MethodGet, "/silent", ""},
			{http.MethodGet, "/news", "news\nnews\n"},
		} {
			resp, body := s.do(t, request.method, request.path)
			assert.Equal(t, http.StatusOK, resp.StatusCode, request.path)
			assert.Equal(t, request.body, body, request.path)
			assert.Empty(t, resp.Header["Set-Cookie"], request.path)
			assert.Empty(t, resp.Header["Cache-Control"], request.path)
		}
		assert.Empty(t, s.queue.Keys())
	})
}

// The readers who land on a page that writes nothing, that streams, or that is
// not there, are captured like the others.
func TestAnyPageIsALandingPage(t *testing.T) {
	t.Parallel()
	for path, status := range map[string]int{"/silent": http.StatusOK, "/news": http.StatusOK, "/gone": http.StatusNotFound} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			each(t, capture.Options{}, func(t *testing.T, s stage) {
				landing, tracking := s.api.Click("", s.url+path)
				resp, _ := s.do(t, http.MethodGet, landing)
				assert.Equal(t, status, resp.StatusCode)
				assertPrivate(t, resp)
				s.do(t, http.MethodPost, "/buy")
				assert.Equal(t, []string{tracking.Key()}, s.queue.Keys())
			})
		})
	}
}

// What is flushed goes out at once, with the cookie, also to a reader who is captured.
func TestStreaming(t *testing.T) {
	t.Parallel()
	each(t, capture.Options{}, func(t *testing.T, s stage) {
		landing, _ := s.api.Click("", s.url+"/news")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, landing, nil)
		require.NoError(t, err)
		resp, err := s.visitor.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		assertPrivate(t, resp)
		assert.Equal(t, []string{"chunked"}, resp.TransferEncoding, "it was flushed, not buffered until its length was known")
		lines := bufio.NewScanner(resp.Body)
		for range 2 {
			assert.True(t, lines.Scan())
			assert.Equal(t, "news", lines.Text())
		}
		assert.False(t, lines.Scan())
	})
}

// With CleanURL the middleware answers by itself, and no handler runs.
func TestCleanURL(t *testing.T) {
	t.Parallel()
	each(t, capture.Options{CleanURL: true}, func(t *testing.T, s stage) {
		landing, tracking := s.api.Click("", s.url+"/welcome?utm_source=news")
		resp, body := s.do(t, http.MethodGet, landing)
		assert.Equal(t, http.StatusFound, resp.StatusCode)
		assert.Equal(t, "/welcome?utm_source=news", resp.Header.Get("Location"))
		assert.NotContains(t, body, "Welcome!")
		assertPrivate(t, resp)
		s.do(t, http.MethodPost, "/buy")
		assert.Equal(t, []string{tracking.Key()}, s.queue.Keys())
	})
}

func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	each(t, capture.Options{}, func(t *testing.T, s stage) {
		landing, _ := s.api.Click("", s.url+"/welcome")
		s.do(t, http.MethodGet, landing)
		kept := s.kept(t)
		s.queue.FailEnqueue(errors.New("the disk is full"))
		resp, body := s.do(t, http.MethodPost, "/buy")
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "Thank you!", body)
		assert.Equal(t, kept, s.kept(t), "only what was stored clears it")
	})
}

// The comment on Echo says why the middleware is around it and not in e.Use.
func TestEchoWrapMiddlewareIsOverTooEarly(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	e := echo.New()
	e.HTTPErrorHandler = func(_ error, c echo.Context) {
		c.Response().Header().Set("Cache-Control", "public, max-age=60")
		c.String(http.StatusNotFound, "not here") //nolint:errcheck // a recorder takes it
	}
	landing, _ := api.Click("", "/gone")
	serve := func(h http.Handler) http.Header {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, landing, nil))
		assert.Len(t, w.Result().Cookies(), 1)
		return w.Result().Header
	}
	assert.Equal(t, "private, no-store", serve(keep.Handler(e)).Get("Cache-Control"))
	e.Use(echo.WrapMiddleware(keep.Handler))
	assert.Equal(t, "public, max-age=60", serve(e).Get("Cache-Control"), "then the comment can go")
}

// Both contexts of Gin have the tracking.
func TestGinContext(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	engine := gin.New()
	var inGin, inRequest bool
	engine.GET("/", func(c *gin.Context) {
		_, inGin = capture.FromContext(c)
		_, inRequest = capture.FromContext(c.Request.Context())
	})
	landing, _ := api.Click("", "/")
	keep.Handler(engine).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, landing, nil))
	assert.True(t, inGin)
	assert.True(t, inRequest)
}

func TestGinCanHijack(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) {
		conn, _, err := c.Writer.Hijack()
		if assert.NoError(t, err) {
			_, err = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			assert.NoError(t, err)
			conn.Close()
		}
	})
	server := httptest.NewServer(keep.Handler(engine))
	defer server.Close()
	landing, _ := api.Click("", server.URL+"/")
	resp, err := server.Client().Get(landing)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusNoContent, resp.StatusCode)
}
