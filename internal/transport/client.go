package transport

import (
	"net"
	"net/http"
	"time"
)

// NewClient returns an HTTP client with a connection pool of its own, sized
// for bursts to one host: 64 idle connections, 15 s for the answer's headers,
// and pings that notice a dead HTTP/2 connection.
func NewClient() *http.Client {
	const (
		dial     = 10 * time.Second
		patience = 15 * time.Second
	)
	return WrapClient(&http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dial, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: patience, PingTimeout: patience},
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    dial,
		ResponseHeaderTimeout:  patience,
		MaxResponseHeaderBytes: 256 << 10,
	}})
}

// WrapClient returns a copy of c that follows no redirect and keeps its idle
// connections after a failed call. c itself is not changed.
func WrapClient(c *http.Client) *http.Client {
	own := *c
	own.Transport = onlyRoundTrip{c.Transport}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// onlyRoundTrip hides everything else of a RoundTripper: go-retryablehttp
// closes the idle connections of the whole pool after each failed call if it
// can reach them.
type onlyRoundTrip struct{ next http.RoundTripper }

func (t onlyRoundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if resp != nil && resp.StatusCode/100 == 3 {
		if _, bad := r.URL.Parse(resp.Header.Get("Location")); bad != nil {
			// http.Client would turn the answer into an error that hides it.
			resp.Header = resp.Header.Clone()
			resp.Header.Del("Location")
		}
	}
	return resp, err
}
