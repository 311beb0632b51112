package main

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/browser"
)

// The hosts of the browser tests. The first two are one site, each of the
// others is another one.
const (
	shopHost   = "shop.example.test"
	appHost    = "app.shop.example.test"
	letterHost = "letter.example.org"
	clickHost  = "click.example.net"
	suffixHost = "shop.github.io" // github.io is a public suffix
)

// sites is a stage on the web, https on one port of loopback: the shop, a
// newsletter's site, and SparkLoop's redirect between the two.
type sites struct {
	*stage

	web        *browser.Site
	clicked    chan sparkloop.Tracking // at the redirect
	prefetched chan *http.Request      // pages of the shop, answered

	mu     sync.Mutex
	letter string          // the page of the newsletter's site
	posted []*http.Request // forms to the shop
}

func newSites(t *testing.T, change ...func(*config)) *sites {
	t.Helper()
	s := &sites{
		stage:      newStage(t, change...),
		clicked:    make(chan sparkloop.Tracking, 9),
		prefetched: make(chan *http.Request, 9),
	}
	s.web = browser.Serve(t, http.HandlerFunc(s.serve))
	return s
}

func (s *sites) url(host, path string) string { return s.web.URL(host, path) }

func (s *sites) serve(w http.ResponseWriter, r *http.Request) {
	switch browser.Host(r) {
	case shopHost, appHost:
		if r.Method == http.MethodPost {
			s.mu.Lock()
			s.posted = append(s.posted, r)
			s.mu.Unlock()
		}
		s.shop.handler().ServeHTTP(w, r)
		if strings.HasPrefix(r.Header.Get("Sec-Purpose"), "prefetch") {
			s.prefetched <- r
		}
	case clickHost:
		redirect, t := s.api.Click(r.FormValue("offer"), s.url(shopHost, "/?utm_source=letter"))
		s.clicked <- t
		http.Redirect(w, r, redirect, http.StatusFound)
	case suffixHost:
		http.SetCookie(w, &http.Cookie{Name: "of-the-suffix", Value: "1", Domain: "github.io", Secure: true})
		http.SetCookie(w, &http.Cookie{Name: "of-the-host", Value: "1", Secure: true})
	case letterHost:
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>A letter</title><main>%s</main>", s.letter)
	}
}

// openLetter opens the newsletter's page with this on it.
func (s *sites) openLetter(b tab, html string) {
	s.t.Helper()
	s.mu.Lock()
	s.letter = html
	s.mu.Unlock()
	b.Open(s.url(letterHost, "/"))
}

// read opens the newsletter and clicks on the link to an offer. It returns the
// tracking that SparkLoop sends along.
func (s *sites) read(b tab, offer string) sparkloop.Tracking {
	s.t.Helper()
	s.openLetter(b, link(s.url(clickHost, "/?offer="+offer)))
	b.Click("#link")
	return <-s.clicked
}

// cookiesOfLastForm are the names of the cookies that came with the last form.
func (s *sites) cookiesOfLastForm() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, c := range s.posted[len(s.posted)-1].Cookies() {
		names = append(names, c.Name)
	}
	return names
}

func link(url string) string {
	return `<a id="link" href="` + html.EscapeString(url) + `">Have a look</a>`
}
