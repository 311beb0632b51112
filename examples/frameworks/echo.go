package frameworks

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Echo is the shop with echo.
//
// echo.WrapMiddleware(keep.Handler) in e.Use looks like the same, and is not
// quite: the middleware is over when echo's error handler writes, which then
// may give the response another Cache-Control than the cookie needs.
func Echo(s *Shop) http.Handler {
	e := echo.New()
	e.GET("/welcome", func(c echo.Context) error { return c.String(http.StatusOK, "Welcome!") })
	e.POST("/buy", func(c echo.Context) error {
		s.bought(c.Response(), c.Request())
		return c.String(http.StatusOK, "Thank you!")
	})
	e.GET("/silent", func(echo.Context) error { return nil }) // writes nothing
	e.GET("/news", func(c echo.Context) error {
		for range 2 {
			if _, err := io.WriteString(c.Response(), "news\n"); err != nil {
				return err
			}
			c.Response().Flush()
		}
		return nil
	})
	return s.Keep.Handler(e)
}
