package recipes

import (
	"net/http"

	"github.com/sparkloop-go/sparkloop/capture"
)

// Subdomains shares one cookie between www.example.com and app.example.com. Each
// server that reads or changes it has the same options.
func Subdomains() (*capture.Capture, error) {
	return capture.New(capture.Options{Domain: "example.com"})
}

// BehindCDN serves pages that a CDN caches. A page with a query is not one of
// them, so that a click always reaches the server.
func BehindCDN(keep *capture.Capture, pages http.Handler) http.Handler {
	return keep.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			w.Header().Set("Cache-Control", "public, max-age=600")
		}
		pages.ServeHTTP(w, r)
	}))
}

// Withdraw deletes the cookie, with the clicks that it remembers as used. Clear
// alone keeps those. name and domain are those of capture.Options.
func Withdraw(w http.ResponseWriter, name, domain string) {
	http.SetCookie(w, &http.Cookie{Name: name, Domain: domain, Path: "/", MaxAge: -1, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
}
