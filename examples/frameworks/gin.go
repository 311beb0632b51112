package frameworks

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
)

// Gin is the shop with gin. The tracking is in the request's context:
// capture.FromContext(c.Request.Context()). capture.FromContext(c) returns it too.
func Gin(s *Shop) http.Handler {
	engine := gin.New()
	engine.GET("/welcome", func(c *gin.Context) { c.String(http.StatusOK, "Welcome!") })
	engine.POST("/buy", func(c *gin.Context) {
		s.bought(c.Writer, c.Request)
		c.String(http.StatusOK, "Thank you!")
	})
	engine.GET("/silent", func(*gin.Context) {}) // writes nothing
	engine.GET("/news", func(c *gin.Context) {
		left := 2
		c.Stream(func(w io.Writer) bool {
			io.WriteString(w, "news\n") //nolint:errcheck // Stream sees when the visitor leaves
			left--
			return left > 0
		})
	})
	return s.Keep.Handler(engine)
}
