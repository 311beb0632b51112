package frameworks

import (
	"io"
	"net/http"
)

// NetHTTP is the shop with the standard library.
func NetHTTP(s *Shop) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Welcome!") //nolint:errcheck // the visitor has left
	})
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		s.bought(w, r)
		io.WriteString(w, "Thank you!") //nolint:errcheck // the visitor has left
	})
	return s.Keep.Handler(mux)
}
