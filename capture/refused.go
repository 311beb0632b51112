package capture

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
)

// refusals holds the hosts and reasons that were already logged.
type refusals struct {
	mu   sync.Mutex
	told map[string]refusal
}

type refusal uint8

const (
	notCovered refusal = 1 << iota
	plainHTTP
)

// mostHosts bounds refusals, because clients choose the Host header.
const mostHosts = 100

// warn logs, once per host and reason, that browsers refuse the cookie.
func (f *refusals) warn(c *Capture, r *http.Request) {
	host, domain := hostname(r.Host), c.opts.Domain
	if domain != "" && host != domain && !strings.HasSuffix(host, "."+domain) && f.isNew(host, notCovered) {
		c.refused(r, host, "Options.Domain does not cover the host", slog.String("domain", domain))
	}
	if !c.opts.Insecure && isPlain(r) && !isLoopback(r.Host) && f.isNew(host, plainHTTP) {
		c.refused(r, host, "the cookie is Secure, but the request came over plain http: use https, or set Options.Insecure. "+
			"A proxy in front must send X-Forwarded-Proto")
	}
}

func (f *refusals) isNew(host string, why refusal) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	reasons, known := f.told[host]
	if reasons&why != 0 || !known && len(f.told) >= mostHosts {
		return false
	}
	if f.told == nil {
		f.told = make(map[string]refusal)
	}
	f.told[host] = reasons | why
	return true
}

func (c *Capture) refused(r *http.Request, host, reason string, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("host", host), slog.String("reason", reason)}, attrs...)
	c.opts.Logger.LogAttrs(r.Context(), slog.LevelWarn, "capture: browsers refuse the cookie", attrs...)
}

// isPlain reports whether a browser sent the request without TLS, according to
// the server and the proxy's headers. Browsers send Sec-Fetch-Site only over
// TLS.
func isPlain(r *http.Request) bool {
	if r.TLS != nil || r.Header.Get("Sec-Fetch-Site") != "" {
		return false
	}
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Scheme", "Forwarded", "Cf-Visitor"} {
		if strings.Contains(strings.ToLower(r.Header.Get(name)), "https") {
			return false
		}
	}
	return !strings.EqualFold(r.Header.Get("X-Forwarded-Ssl"), "on") && !strings.EqualFold(r.Header.Get("Front-End-Https"), "on")
}

// hostname returns a Host header in lower case and without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
