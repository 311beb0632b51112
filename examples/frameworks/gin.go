package frameworks

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Gin is the shop with gin. In a handler, capture.FromContext(c) works too.
func Gin(s *Shop) http.Handler {
	engine := gin.New()
	engine.GET("/welcome", func(c *gin.Context) { c.String(http.StatusOK, "Welcome!") })
	engine.POST("/buy", func(c *gin.Context) {
		s.bought(c.Writer, c.Request)
		c.String(http.StatusOK, "Thank you!")
	})
	return s.Keep.Handler(engine)
}
