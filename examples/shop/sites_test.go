package main

import (
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// The hosts of the browser tests. The first two are one site, each of the
// others is another one.
const (
	shopHost   = "shop.example.test"
	appHost    = "app.shop.example.test"
	letterHost = "letter.example.org"
	clickHost  = "click.example.net"
)

// trackingCookie is the name that capture gives it.
const trackingCookie = "sparkloop_t"

// sites is a stage on the web, https on one port of loopback: the shop, a
// newsletter's site, and SparkLoop's redirect between the two.
type sites struct {
	*stage

	port       string
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
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	cert, _ := testCertificate()
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a closing browser breaks handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	s.port = port
	return s
}

func (s *sites) url(host, path string) string { return "https://" + host + ":" + s.port + path }

func (s *sites) serve(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Host)
	switch host {
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
	case letterHost:
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>A letter</title><main>%s</main>", s.letter)
	}
}

// openLetter opens the newsletter's page with this on it.
func (s *sites) openLetter(b *tab, html string) {
	s.t.Helper()
	s.mu.Lock()
	s.letter = html
	s.mu.Unlock()
	b.open(s.url(letterHost, "/"))
}

// read opens the newsletter and clicks on the link to an offer. It returns the
// tracking that SparkLoop sends along.
func (s *sites) read(b *tab, offer string) sparkloop.Tracking {
	s.t.Helper()
	s.openLetter(b, link(s.url(clickHost, "/?offer="+offer)))
	b.click("#link")
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

// keysOf are the trackings in a cookie's value.
func keysOf(t *testing.T, value string) []string {
	t.Helper()
	keys := []string{}
	for part := range strings.SplitSeq(value, "~") {
		if part == "" {
			continue
		}
		tracking, err := sparkloop.DecodeTracking(part)
		require.NoError(t, err)
		keys = append(keys, tracking.Key())
	}
	return keys
}
