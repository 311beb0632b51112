package transport

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// ProxyError is the refusal of a proxy to connect to the API.
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

// proxyRefusal recognises a refused CONNECT in a caller's own http.Transport: its
// error is only the reason phrase, such as "Forbidden".
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

// proxyOfEnvironment is http.ProxyFromEnvironment for https alone: a proxy reads
// every header of a plain request, and so the key.
func proxyOfEnvironment(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme == "http" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// direct returns a copy of a caller's transport that sends no plain request
// through the proxy of the environment. The transport itself is returned if it
// would not.
func (t *roundTripper) direct(next http.RoundTripper, r *http.Request) http.RoundTripper {
	own, ok := next.(*http.Transport)
	if !ok || own.Proxy == nil {
		return next
	}
	if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy == nil {
		return next
	}
	t.once.Do(func() {
		t.plain = own.Clone()
		t.plain.Proxy = func(r *http.Request) (*url.URL, error) {
			proxy, err := own.Proxy(r)
			environment, envErr := http.ProxyFromEnvironment(r)
			if err != nil && envErr != nil || proxy != nil && environment != nil && *proxy == *environment {
				return nil, nil
			}
			return proxy, err
		}
	})
	return t.plain
}
