package recipes

import (
	"net/http"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// DeepLink takes the URL with which the app was opened, for a signed-in user. An
// app has no cookie, so the click goes straight to the user's rows.
func (s *Site) DeepLink(signedIn func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		click, err := sparkloop.ParseTracking(r.PostFormValue("url"))
		if err != nil {
			w.WriteHeader(http.StatusNoContent) // a link from elsewhere
			return
		}
		click.CapturedAt = time.Now() // the URL has no time
		if err := s.Keep(r.Context(), signedIn(r), []sparkloop.Tracking{click}); err != nil {
			http.Error(w, "not stored, send it again", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
