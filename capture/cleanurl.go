package capture

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sparkloop-go/sparkloop/internal/query"
)

// isDocument reports whether a person opens a page with the request: no
// script's call, no image, no submitted form.
func isDocument(r *http.Request) bool {
	dest, accept := r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Accept")
	return r.Method == http.MethodGet &&
		(dest == "" || dest == "document") &&
		(accept == "" || strings.Contains(accept, "text/html"))
}

// cleanURL returns the path and query of u without the two parameters. The path
// starts with exactly one slash, so that no part of it is read as a host. The
// other parameters are not changed.
func cleanURL(u *url.URL) string {
	path, rawQuery := query.Clean(u)
	path = "/" + strings.TrimLeft(path, "/")
	if rawQuery != "" {
		return path + "?" + rawQuery
	}
	return path
}
