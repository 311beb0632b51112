package frameworks

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Echo is the shop with echo.
//
// Do not use echo.WrapMiddleware(keep.Handler) in e.Use: that middleware ends
// before echo's error handler writes, and the error handler may replace the
// Cache-Control that the cookie needs.
func Echo(s *Shop) http.Handler {
	e := echo.New()
	e.GET("/welcome", func(c echo.Context) error { return c.String(http.StatusOK, "Welcome!") })
	e.POST("/buy", func(c echo.Context) error {
		s.bought(c.Response(), c.Request())
		return c.String(http.StatusOK, "Thank you!")
	})
	return s.Keep.Handler(e)
}
