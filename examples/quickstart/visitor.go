package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// visitor is a browser: it follows redirects and keeps cookies.
type visitor struct {
	http *http.Client
	// landed is the URL in the address bar.
	landed *url.URL

	email    string
	tracking sparkloop.Tracking // as the shop captured it
}

func newVisitor(email string) *visitor {
	jar, _ := cookiejar.New(nil) // never fails
	return &visitor{http: &http.Client{Jar: jar, Transport: &http.Transport{}, Timeout: 30 * time.Second}, email: email}
}

// open goes to a page.
func (v *visitor) open(ctx context.Context, page string) error {
	return v.do(ctx, http.MethodGet, page, nil)
}

// submit sends a form to a page of the site where the visitor is.
func (v *visitor) submit(ctx context.Context, path string, form url.Values) error {
	return v.do(ctx, http.MethodPost, v.landed.ResolveReference(&url.URL{Path: path}).String(), form)
}

func (v *visitor) do(ctx context.Context, method, page string, form url.Values) error {
	req, err := http.NewRequestWithContext(ctx, method, page, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s %s: %s", method, req.URL.Path, resp.Status)
	}
	if method == http.MethodGet {
		v.landed = resp.Request.URL
	}
	return nil
}

func (v *visitor) leave() { v.http.CloseIdleConnections() }

// site is a web server on a free port of the loopback interface.
type site struct {
	server *http.Server
	url    string
}

func serve(h http.Handler) (*site, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{&http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}, "http://" + listener.Addr().String()}
	go s.server.Serve(listener) //nolint:errcheck // it ends with close
	return s, nil
}

func (s *site) close() { s.server.Close() }
