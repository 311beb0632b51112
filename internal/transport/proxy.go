package transport

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// ProxyError is a proxy's refusal to connect to the API.
type ProxyError struct {
	Proxy      string // its host, or "" if unknown
	StatusCode int
}

func (e *ProxyError) Error() string {
	proxy := "the proxy"
	if e.Proxy != "" {
		proxy += " " + e.Proxy
	}
	return fmt.Sprintf("%s refused to connect: %d %s", proxy, e.StatusCode, http.StatusText(e.StatusCode))
}

// onConnect names the proxy and the status of a refused CONNECT.
func onConnect(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, StatusCode: resp.StatusCode}
}

// proxyRefusal detects a refused CONNECT in a caller's own http.Transport. The
// error's text is only the reason phrase, such as "Forbidden".
func proxyRefusal(u *url.URL, err error) error {
	if u.Scheme == "https" && err != nil {
		for status := 300; status <= 599; status++ {
			if text := http.StatusText(status); text != "" && err.Error() == text {
				return &ProxyError{StatusCode: status}
			}
		}
	}
	return err
}

// proxyOfEnvironment is http.ProxyFromEnvironment only for https, because a
// proxy could read the key in a plain request.
func proxyOfEnvironment(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme == "http" {
		return nil, nil //nolint:nilnil // no proxy and no error, as net/http has it
	}
	return http.ProxyFromEnvironment(r)
}

// NewDirect returns a RoundTripper that sends no plain request through the
// proxy of the environment, for any proxy setting of next. A nil next is
// http.DefaultTransport. If next is not an *http.Transport, NewDirect returns
// next.
//
// RoundTrippers that wrap a caller's use it, because the client only sees the
// outermost RoundTripper.
func NewDirect(next http.RoundTripper) http.RoundTripper {
	if _, ok := next.(*http.Transport); ok || next == nil {
		return &direct{next: next}
	}
	return next
}

type direct struct {
	next  http.RoundTripper // nil: http.DefaultTransport, which tests replace
	once  sync.Once
	plain *http.Transport // a copy of next without the proxy of the environment
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	next := d.next
	if next == nil {
		next = http.DefaultTransport
	}
	own, ok := next.(*http.Transport)
	if !ok || own.Proxy == nil || r.URL.Scheme != "http" {
		return next.RoundTrip(r)
	}
	if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy == nil {
		return next.RoundTrip(r)
	}
	d.once.Do(func() {
		d.plain = own.Clone()
		d.plain.Proxy = func(r *http.Request) (*url.URL, error) {
			proxy, err := own.Proxy(r)
			environment, envErr := http.ProxyFromEnvironment(r)
			if err != nil && envErr != nil || proxy != nil && environment != nil && *proxy == *environment {
				return nil, nil //nolint:nilerr,nilnil // the environment's proxy, or its error, does not matter
			}
			return proxy, err
		}
	})
	return d.plain.RoundTrip(r)
}
