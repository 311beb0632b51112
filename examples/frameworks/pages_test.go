package frameworks

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/sparkloop-go/sparkloop/capture"
)

// pages are two unusual landing pages with each framework: /silent writes
// nothing, and /news flushes each of its lines.
var pages = map[string]func(*capture.Capture) http.Handler{
	"net/http": func(keep *capture.Capture) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /silent", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("GET /news", news)
		return keep.Handler(mux)
	},
	"chi": func(keep *capture.Capture) http.Handler {
		r := chi.NewRouter()
		r.Use(keep.Handler)
		r.Get("/silent", func(http.ResponseWriter, *http.Request) {})
		r.Get("/news", news)
		return r
	},
	"gin": func(keep *capture.Capture) http.Handler {
		engine := gin.New()
		engine.GET("/silent", func(*gin.Context) {})
		engine.GET("/news", func(c *gin.Context) {
			left := 2
			c.Stream(func(w io.Writer) bool {
				io.WriteString(w, "news\n") //nolint:errcheck // Stream sees when the visitor leaves
				left--
				return left > 0
			})
		})
		return keep.Handler(engine)
	},
	"echo": func(keep *capture.Capture) http.Handler {
		e := echo.New()
		e.GET("/silent", func(echo.Context) error { return nil })
		e.GET("/news", func(c echo.Context) error {
			for range 2 {
				if _, err := io.WriteString(c.Response(), "news\n"); err != nil {
					return err
				}
				c.Response().Flush()
			}
			return nil
		})
		return keep.Handler(e)
	},
}

func news(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	for range 2 {
		io.WriteString(w, "news\n") //nolint:errcheck // Flush returns the error
		if out.Flush() != nil {
			return
		}
	}
}
