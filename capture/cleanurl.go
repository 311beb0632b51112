package capture

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sparkloop-go/sparkloop/internal/query"
)

// isDocument says whether a request is for a page that a person opens: no
// script's call, no image, no form that was sent.
func isDocument(r *http.Request) bool {
	dest, accept := r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Accept")
	return r.Method == http.MethodGet &&
		(dest == "" || dest == "document") &&
		(accept == "" || strings.Contains(accept, "text/html"))
}

// cleanURL is the same page without the two parameters, as a path: exactly one
// slash at its beginning, so that no part of it can be taken for a host. The
// other parameters stay as they are, byte for byte.
func cleanURL(u *url.URL) string {
	path, rawQuery := query.Clean(u)
	path = "/" + strings.TrimLeft(path, "/")
	if rawQuery != "" {
		return path + "?" + rawQuery
	}
	return path
}
