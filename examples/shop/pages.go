package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed templates static
var files embed.FS

// pages are the parsed templates, each in templates/layout.html.
type pages struct{ byName map[string]*template.Template }

func parsePages() (*pages, error) {
	p := &pages{make(map[string]*template.Template)}
	for _, name := range []string{"landing", "signup", "checkout", "thanks", "status"} {
		t, err := template.ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.byName[name] = t
	}
	return p, nil
}

// page is the data of the layout.
type page struct {
	Name     string
	SignedIn string // an email, or ""
	Data     any    // the page's own
}

func (s *shop) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var html bytes.Buffer // if the template fails, no half page is sent
	err := s.pages.byName[name].ExecuteTemplate(&html, "layout.html", page{name, s.signedIn(r), data})
	if err != nil {
		s.fail(w, fmt.Errorf("page %s: %w", name, err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "private, no-cache") // it shows who is signed in
	w.WriteHeader(status)
	html.WriteTo(w) //nolint:errcheck // the browser has gone
}

// staticFiles are the same for every visitor, so caches may store them.
func staticFiles() http.Handler {
	static := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		static.ServeHTTP(w, r)
	})
}

// secured forbids what the pages do not need: scripts, content of other sites,
// frames of other sites.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
