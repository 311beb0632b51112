package frameworks

import (
	"io"
	"net/http"
)

// NetHTTP is the shop with nothing but the standard library.
func NetHTTP(s *Shop) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Welcome!") //nolint:errcheck // the visitor has left
	})
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		s.bought(w, r)
		io.WriteString(w, "Thank you!") //nolint:errcheck // the visitor has left
	})
	mux.HandleFunc("GET /silent", func(http.ResponseWriter, *http.Request) {}) // writes nothing
	mux.HandleFunc("GET /news", func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		for range 2 {
			io.WriteString(w, "news\n") //nolint:errcheck // Flush tells
			if out.Flush() != nil {
				return
			}
		}
	})
	return s.Keep.Handler(mux)
}
