package transport

import (
	"net"
	"net/http"
	"time"
)

// NewClient returns an HTTP client with its own connection pool, sized for bursts
// to one host. It keeps 64 idle connections, waits 15 s for the answer's headers,
// and detects dead HTTP/2 connections with pings.
func NewClient() *http.Client {
	const (
		dial     = 10 * time.Second
		patience = 15 * time.Second
	)
	return &http.Client{Transport: &http.Transport{
		Proxy:                  proxyOfEnvironment,
		OnProxyConnectResponse: onConnect,
		DialContext:            (&net.Dialer{Timeout: dial}).DialContext,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: patience, PingTimeout: patience},
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    dial,
		ResponseHeaderTimeout:  patience,
		MaxResponseHeaderBytes: 256 << 10,
	}}
}

// sender returns a copy of the configured client. The copy sets the headers of each
// request, follows no redirect and keeps its idle connections after a failed call.
// The client itself is not changed.
func sender(cfg Config) *http.Client {
	own := *cfg.Client
	own.Transport = &roundTripper{next: NewDirect(own.Transport), authorize: cfg.Authorize, userAgent: []string{cfg.UserAgent}}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// roundTripper sends the requests of one Transport, and may change them. It sets
// the headers here because http.Client copies earlier ones for redirects, which
// are never followed.
//
// It hides everything else of the next RoundTripper: after each failed call
// go-retryablehttp closes the idle connections of the whole pool if it can.
type roundTripper struct {
	next      http.RoundTripper
	authorize func(http.Header)
	userAgent []string
}

var (
	acceptJSON  = []string{"application/json"}
	contentJSON = []string{"application/json; charset=utf-8"}
)

func (t *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	t.authorize(r.Header)
	r.Header["Accept"] = acceptJSON
	r.Header["User-Agent"] = t.userAgent
	if r.Method == http.MethodPost {
		r.Header["Content-Type"] = contentJSON
	}
	resp, err := t.next.RoundTrip(r)
	if resp != nil && resp.StatusCode/100 == 3 {
		if _, bad := r.URL.Parse(resp.Header.Get("Location")); bad != nil {
			// http.Client would turn the answer into an error that hides it.
			resp.Header = resp.Header.Clone()
			resp.Header.Del("Location")
		}
	}
	return resp, err
}
