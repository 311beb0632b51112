package frameworks

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	recoverv2 "github.com/gofiber/fiber/v2/middleware/recover"
	fiberv3 "github.com/gofiber/fiber/v3"
	adaptorv3 "github.com/gofiber/fiber/v3/middleware/adaptor"
	recoverv3 "github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// eachFiber runs a test once for each version of Fiber, on its own server.
func eachFiber(t *testing.T, o capture.Options, test func(*testing.T, stage)) {
	t.Helper()
	for name, serve := range map[string]func(*Shop, net.Listener) (stop func() error){
		"v2": func(s *Shop, l net.Listener) func() error {
			app := FiberV2(s)
			app.Get("/panic", recoverv2.New(), func(*fiber.Ctx) error { panic("a handler") })
			app.Get("/fails", func(*fiber.Ctx) error { return fiber.ErrTeapot })
			go app.Listener(l) //nolint:errcheck // it ends with the test
			return app.Shutdown
		},
		"v3": func(s *Shop, l net.Listener) func() error {
			app := Fiber(s)
			app.Get("/panic", recoverv3.New(), func(fiberv3.Ctx) error { panic("a handler") })
			app.Get("/fails", func(fiberv3.Ctx) error { return fiberv3.ErrTeapot })
			go app.Listener(l, fiberv3.ListenConfig{DisableStartupMessage: true}) //nolint:errcheck // it ends with the test
			return app.Shutdown
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keep, err := capture.New(o)
			require.NoError(t, err)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			q := &programtest.Queue{}
			stop := serve(&Shop{keep, q, sparklooptest.DefaultOffer, slog.New(slog.DiscardHandler)}, l)
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			transport := &http.Transport{}
			t.Cleanup(func() {
				transport.CloseIdleConnections()
				assert.NoError(t, stop())
			})
			test(t, stage{sparklooptest.NewServer(t), q, "http://" + l.Addr().String(), &http.Client{
				Jar: jar, Transport: transport,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}})
		})
	}
}

func TestFiberFromTheLandingToThePurchase(t *testing.T) {
	t.Parallel()
	eachFiber(t, capture.Options{}, func(t *testing.T, s stage) {
		for path, status := range map[string]int{
			"/welcome": http.StatusOK, "/cached": http.StatusOK, "/gone": http.StatusNotFound,
			"/fails": http.StatusTeapot, "/panic": http.StatusInternalServerError,
		} {
			landing, tracking := s.api.Click("", s.url+path+"?utm_source=news")
			resp, _ := s.do(t, http.MethodGet, landing)
			assert.Equal(t, status, resp.StatusCode, path)
			assertPrivate(t, resp)
			assert.Contains(t, s.kept(t), tracking.Offer+"."+tracking.Submission)

			resp, body := s.do(t, http.MethodPost, "/buy")
			assert.Equal(t, "Thank you!", body)
			assertPrivate(t, resp)
			has := s.queue.Keys()
			assert.Equal(t, tracking.Key(), has[len(has)-1])
			_, again := s.do(t, http.MethodPost, "/buy")
			assert.Equal(t, "Thank you!", again)
			assert.Len(t, s.queue.Keys(), len(has), "the click is used")
		}
	})
}

func TestFiberWithoutTracking(t *testing.T) {
	t.Parallel()
	eachFiber(t, capture.Options{}, func(t *testing.T, s stage) {
		resp, body := s.do(t, http.MethodGet, "/cached?offer=summer")
		assert.Equal(t, "Welcome!", body)
		assert.Equal(t, "public, max-age=600", resp.Header.Get("Cache-Control"))
		assert.Empty(t, resp.Cookies())
	})
}

func TestFiberCleanURL(t *testing.T) {
	t.Parallel()
	eachFiber(t, capture.Options{CleanURL: true}, func(t *testing.T, s stage) {
		landing, _ := s.api.Click("", s.url+"/welcome?utm_source=news")
		resp, body := s.do(t, http.MethodGet, landing)
		assert.Equal(t, http.StatusFound, resp.StatusCode)
		assert.Equal(t, "/welcome?utm_source=news", resp.Header.Get("Location"))
		assert.NotContains(t, body, "Welcome!")
		assertPrivate(t, resp)
		assert.NotEmpty(t, s.kept(t))
	})
}

// What adaptor.HTTPMiddleware does, and why fiberCapture stands in its place. When
// a version of Fiber does better, this test fails, and the docs change.
func TestFibersOwnAdaptor(t *testing.T) {
	t.Parallel()
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	const landing = "https://shop.example/cached?submission=s&offer=" + sparklooptest.DefaultOffer
	v2 := fiber.New()
	v2.Use(adaptor.HTTPMiddleware(keep.Handler))
	v2.Get("/cached", func(c *fiber.Ctx) error { c.Set("Cache-Control", "public, max-age=600"); return nil })
	v3 := fiberv3.New()
	v3.Use(adaptorv3.HTTPMiddleware(keep.Handler))
	v3.Get("/cached", func(c fiberv3.Ctx) error { c.Set("Cache-Control", "public, max-age=600"); return nil })
	for name, test := range map[string]func(*http.Request) (*http.Response, error){
		"v2": func(r *http.Request) (*http.Response, error) { return v2.Test(r, -1) },
		"v3": func(r *http.Request) (*http.Response, error) { return v3.Test(r, fiberv3.TestConfig{}) },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, landing, nil)
		require.NoError(t, err)
		resp, err := test(r)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Len(t, resp.Cookies(), 1, name)
		assert.Equal(t, "public, max-age=600", resp.Header.Get("Cache-Control"), name)
	}
}
