package frameworks

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

	"github.com/sparkloop-go/sparkloop/capture"
)

// FiberV2 is the shop with Fiber v2. It has the types of fiber.go.
func FiberV2(s *Shop) *fiber.App {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Use(fiberV2Capture(s.Keep)) // first, so that it is around all others
	app.Get("/welcome", func(c *fiber.Ctx) error { return c.SendString("Welcome!") })
	app.Post("/buy", func(c *fiber.Ctx) error {
		v, _ := c.Locals(fiberKey{}).(*fiberVisit)
		s.bought(v.w, v.r) // capture.FromContext(c.UserContext()) works too
		return c.SendString("Thank you!")
	})
	app.Get("/cached", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderCacheControl, "public, max-age=600")
		return c.SendString("Welcome!")
	})
	return app
}

// fiberV2Capture is fiberCapture for Fiber v2.
func fiberV2Capture(keep *capture.Capture) fiber.Handler {
	return func(c *fiber.Ctx) (err error) {
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
			c.SetUserContext(r.Context())
			c.Locals(fiberKey{}, &fiberVisit{w, r})
			if nextErr := c.Next(); nextErr != nil { // the error page comes before the cookie
				err = c.App().ErrorHandler(c, nextErr)
			}
		})).ServeHTTP(w, r.WithContext(c.UserContext()))
		if !called { // CleanURL
			c.Set(fiber.HeaderLocation, w.header.Get(fiber.HeaderLocation))
			c.Status(w.status)
		}
		return err
	}
}
