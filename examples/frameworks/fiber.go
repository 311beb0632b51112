package frameworks

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

	"github.com/sparkloop-go/sparkloop/capture"
)

// Fiber is the shop with Fiber v3. For v2 see fiberv2.go.
func Fiber(s *Shop) *fiber.App {
	app := fiber.New()
	app.Use(fiberCapture(s.Keep)) // first, so that it is around all others
	app.Get("/welcome", func(c fiber.Ctx) error { return c.SendString("Welcome!") })
	app.Post("/buy", func(c fiber.Ctx) error {
		v := fiber.Locals[*fiberVisit](c, fiberKey{})
		s.bought(v.w, v.r) // capture.FromContext(c.Context()) works too
		return c.SendString("Thank you!")
	})
	app.Get("/cached", func(c fiber.Ctx) error {
		c.Set(fiber.HeaderCacheControl, "public, max-age=600")
		return c.SendString("Welcome!")
	})
	return app
}

// fiberCapture is the capture middleware for Fiber v3. adaptor.HTTPMiddleware is
// not usable: it calls the handler after the middleware has ended, so that the
// handler's Cache-Control replaces "no-store", and Save and Clear have no effect.
func fiberCapture(keep *capture.Capture) fiber.Handler {
	return func(c fiber.Ctx) (err error) {
		r, err := adaptor.ConvertRequest(c, true)
		if err != nil {
			return err
		}
		// Fiber reuses the memory of its strings. A tracking may outlive the request.
		if r.URL, err = url.ParseRequestURI(strings.Clone(r.RequestURI)); err != nil {
			return err
		}
		w := &fiberWriter{header: make(http.Header)}
		defer func() { // after a panic too
			for _, cookie := range w.header.Values(fiber.HeaderSetCookie) {
				c.Response().Header.Add(fiber.HeaderSetCookie, cookie)
				c.Set(fiber.HeaderCacheControl, w.header.Get(fiber.HeaderCacheControl))
			}
		}()
		called := false
		keep.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			called = true
			c.SetContext(r.Context())
			c.Locals(fiberKey{}, &fiberVisit{w, r})
			if nextErr := c.Next(); nextErr != nil { // the error page comes before the cookie
				err = c.App().ErrorHandler(c, nextErr)
			}
		})).ServeHTTP(w, r.WithContext(c.Context()))
		if !called { // CleanURL
			c.Set(fiber.HeaderLocation, w.header.Get(fiber.HeaderLocation))
			c.Status(w.status)
		}
		return err
	}
}

type fiberKey struct{}

// fiberVisit is what Capture.Save and Capture.Clear need.
type fiberVisit struct {
	w http.ResponseWriter
	r *http.Request
}

// fiberWriter takes the header from the middleware. Fiber writes the response
// when all handlers have returned.
type fiberWriter struct {
	header http.Header
	status int
}

func (w *fiberWriter) Header() http.Header         { return w.header }
func (w *fiberWriter) WriteHeader(status int)      { w.status = status }
func (w *fiberWriter) Write(p []byte) (int, error) { return len(p), nil }
