package frameworks

import (
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Chi is the shop with chi, whose middleware has the form that capture's has.
// Use it on the outermost router: what stands in a group or at a route alone
// misses the readers who land elsewhere.
func Chi(s *Shop) http.Handler {
	r := chi.NewRouter()
	r.Use(s.Keep.Handler)
	r.Get("/welcome", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Welcome!") //nolint:errcheck // the visitor has left
	})
	r.Post("/buy", func(w http.ResponseWriter, r *http.Request) {
		s.bought(w, r)
		io.WriteString(w, "Thank you!") //nolint:errcheck // the visitor has left
	})
	r.Get("/silent", func(http.ResponseWriter, *http.Request) {}) // writes nothing
	r.Get("/news", func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		for range 2 {
			io.WriteString(w, "news\n") //nolint:errcheck // Flush tells
			if out.Flush() != nil {
				return
			}
		}
	})
	return r
}
