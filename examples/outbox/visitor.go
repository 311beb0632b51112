package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// visitor is a browser of the story's: it follows redirects and keeps cookies.
type visitor struct{ http *http.Client }

func newVisitor() visitor {
	jar, _ := cookiejar.New(nil) // never fails
	return visitor{&http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}}
}

// buys lands and buys, and returns how long the purchase took.
func (v visitor) buys(ctx context.Context, landing, home string) (time.Duration, error) {
	if _, _, err := v.get(ctx, landing, ""); err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, home+"/buy", strings.NewReader(url.Values{"item": {"notebook"}}.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	start := time.Now()
	status, body, err := v.do(r)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("POST /buy: %d %s", status, body)
	}
	return time.Since(start), err
}

// get returns a page's status and text.
func (v visitor) get(ctx context.Context, page, password string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, "", err
	}
	if password != "" {
		r.SetBasicAuth("admin", password)
	}
	return v.do(r)
}

func (v visitor) do(r *http.Request) (int, string, error) {
	resp, err := v.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}
