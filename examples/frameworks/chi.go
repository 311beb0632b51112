package frameworks

import (
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Chi is the shop with chi. Use the middleware on the outermost router: in a
// group or at a route it misses the readers who land on other pages.
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
	return r
}
