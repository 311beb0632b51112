package main

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed web
var web embed.FS

// page serves the static files of the page, as a CDN may: they are the same for
// every visitor. index.html is the answer to each path of the page's router.
func page(api string) http.Handler {
	var index bytes.Buffer
	template.Must(template.ParseFS(web, "web/index.html")).Execute(&index, api) //nolint:errcheck // a buffer takes all
	files := http.NewServeMux()
	files.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(index.Bytes()) //nolint:errcheck // the visitor has left
	})
	files.HandleFunc("GET /web/", http.FileServerFS(web).ServeHTTP)
	csp := strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src " + api,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", csp)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "strict-origin-when-cross-origin") // the landing URL stays here
		w.Header().Set("Cache-Control", "public, max-age=60")
		files.ServeHTTP(w, r)
	})
}
