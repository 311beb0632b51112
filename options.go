package sparkloop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
	"github.com/sparkloop-go/sparkloop/internal/pacing"
	"github.com/sparkloop-go/sparkloop/internal/redact"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Option is a setting of a client, for [New] and [Client.With]. They return an
// error for an invalid value. The last of two options for one setting takes
// precedence.
type Option func(*config) error

// config is a client's settings. It is a value: a copy of a client starts with a
// copy of it. The key is in closures, where no verb of package fmt prints it.
type config struct {
	endpoints *endpoint.Endpoints
	base      string // of the endpoints
	key       redact.Key
	transport transport.Config
	timeout   time.Duration

	requests int // of WithRateLimit; 0 if it is off or WithLimiter took its place
	window   time.Duration
}

const (
	defaultRequests = 120
	defaultWindow   = time.Minute
	userAgent       = "sparkloop-go/" + version
)

func defaults(key redact.Key) config {
	return config{
		endpoints: endpoint.Published(DefaultBaseURL),
		base:      DefaultBaseURL,
		key:       key,
		timeout:   10 * time.Second,
		requests:  defaultRequests,
		window:    defaultWindow,
		transport: transport.Config{
			Client:     transport.NewClient(),
			Authorize:  key.Set,
			Redact:     key.Redact,
			UserAgent:  userAgent,
			Retries:    3,
			BackoffMin: 500 * time.Millisecond,
			BackoffMax: 30 * time.Second,
			Limiter:    pacing.New(defaultRequests, defaultWindow),
			PauseMax:   defaultWindow,
			Streak:     new(transport.Streak),
		},
	}
}

// Limiter is one rate limit for all that call with the same key. It is safe for
// concurrent use.
type Limiter interface {
	// Wait returns nil when one request may go. It returns early with the
	// context's error, and at once with an error that matches
	// [context.DeadlineExceeded] if no request fits before the deadline.
	// Every attempt waits once, including attempts at other addresses.
	Wait(ctx context.Context) error

	// Pause is called after a 429: no request is sent for d, which is at most
	// 60 s. The context has not ended, even if that of the call has; it ends
	// after 5 s. An error is logged and otherwise ignored.
	Pause(ctx context.Context, d time.Duration) error
}

// WithBaseURL sends every call below rawURL: a fake API in tests, a proxy, or
// https://dash.sparkloop.app/api/v2, which one version of SparkLoop's guide
// names. The client then tries no other base, but still both spellings of the
// conversion endpoint.
//
// It must be https. Plain http is allowed for a loopback address and for a host
// name without dots (http://fake:8080), as in a container network. A user name, a
// query and a fragment are errors.
//
// Default: [DefaultBaseURL] and the other base on the same host.
func WithBaseURL(rawURL string) Option {
	return func(c *config) error {
		u, err := parseBaseURL(rawURL)
		if err != nil {
			return fmt.Errorf("WithBaseURL: %w", err)
		}
		c.endpoints, c.base = endpoint.Pinned(u), u.String()
		return nil
	}
}

// WithHTTPClient sends requests through a copy of hc, with its transport, cookie
// jar and timeout, which bounds each attempt. Redirects are not followed. hc itself
// is not changed.
//
// Default: a separate client with 64 idle connections, 10 s to connect, 10 s for
// TLS, 15 s from the request to the header of the answer, and the proxy of the
// environment for https.
//
// Plain http never goes through the proxy of the environment, which would read the
// key. This holds for hc too.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *config) error {
		if hc == nil {
			return errors.New("WithHTTPClient: the client is nil")
		}
		own := *hc
		c.transport.Client = &own
		return nil
	}
}

// WithTimeout bounds a whole call with its retries and pauses. A context deadline
// overrides it, even a later one. Default: 10s.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("WithTimeout: %s is not a positive time", d)
		}
		c.timeout = d
		return nil
	}
}

// WithRetries sets how often a request is sent again after a temporary failure:
// 408, 425, 429, 5xx except 501, and errors of the network. 0 means never.
// Default: 3. Sending a confirmation again is safe, see
// [ConversionsService.Confirm].
func WithRetries(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return fmt.Errorf("WithRetries: %d is negative", n)
		}
		c.transport.Retries = n
		return nil
	}
}

// WithBackoff sets the pause before retry n+1: random, between min/2 and min·2ⁿ,
// capped at max. A Retry-After from the API overrides it. Defaults: 500ms and 30s.
//
// After a 429 without Retry-After the pause doubles with every 429 in a row, and
// is capped at one window of the rate limit.
func WithBackoff(min, max time.Duration) Option {
	return func(c *config) error {
		if min <= 0 || max < min {
			return fmt.Errorf("WithBackoff: %s and %s are not a positive minimum and a maximum above it", min, max)
		}
		c.transport.BackoffMin, c.transport.BackoffMax = min, max
		return nil
	}
}

// WithRateLimit limits the requests in any window of that length, including
// retries; the rest wait. 0 requests turns pacing off. Default: 120 per 60s, the
// API's limit for one key. A slot is free again one second after the window (a
// quarter of a window below 4 s), because the API counts arrivals.
//
// The limit holds for this client and its copies. For several clients or machines
// with one key, see [WithLimiter].
func WithRateLimit(requests int, window time.Duration) Option {
	return func(c *config) error {
		const (
			most    = 1_000_000 // 8 bytes each are kept
			longest = 24 * time.Hour
		)
		switch {
		case requests == 0:
			c.transport.Limiter, c.transport.PauseMax = nil, defaultWindow
			c.requests, c.window = 0, 0
			return nil
		case requests < 0 || requests > most:
			return fmt.Errorf("WithRateLimit: %d requests is not between 0 and %d", requests, most)
		case window <= 0 || window > longest:
			return fmt.Errorf("WithRateLimit: a window of %s is not between 0 and %s", window, longest)
		}
		c.transport.Limiter, c.transport.PauseMax = pacing.New(requests, window), window
		c.requests, c.window = requests, window
		return nil
	}
}

// WithLimiter replaces the client's own limit by l: one limit for several clients
// or machines with one key.
func WithLimiter(l Limiter) Option {
	return func(c *config) error {
		if v := reflect.ValueOf(l); l == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			return errors.New("WithLimiter: the limiter is nil")
		}
		c.transport.Limiter, c.transport.PauseMax = l, defaultWindow
		c.requests, c.window = 0, 0
		return nil
	}
}

// WithLogger logs every attempt at level Debug, and at level Warn each call that
// ends with a network error, a deadline, 408, 425, 429 or 5xx. The IDs in the path
// are logged; the key and bodies never are. Default: no log.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		c.transport.Log = transport.NewLog(l)
		return nil
	}
}

// WithUserAgent adds the name of your program to the User-Agent header, before
// that of the SDK. Add a version: "acme-shop/2.1".
func WithUserAgent(name string) Option {
	return func(c *config) error {
		if strings.TrimSpace(name) == "" {
			return errors.New("WithUserAgent: the name is empty")
		}
		for i := range len(name) {
			if name[i] < ' ' || name[i] > '~' {
				return fmt.Errorf("WithUserAgent: the name has a character that no header can carry, at position %d", i+1)
			}
		}
		c.transport.UserAgent = name + " " + userAgent
		return nil
	}
}

// parseBaseURL checks a base URL. Its errors do not repeat the text: it may hold a
// password.
func parseBaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	switch {
	case err != nil:
		return nil, errors.New("the text is not a URL")
	case u.User != nil:
		return nil, errors.New("user name and password have no place in the URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "":
		return nil, errors.New("the URL must begin with https://")
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		return nil, errors.New("the URL must have no query and no fragment")
	case u.Scheme == "http" && !plainAllowed(u.Hostname()):
		return nil, fmt.Errorf("the URL must be https: plain http would show the API key to the network on the way to %s", u.Hostname())
	}
	escaped := u.EscapedPath()
	if u.RawPath != escaped && strings.Contains(u.RawPath, "%") {
		return nil, errors.New("the path of the URL has a character that must be percent-encoded")
	}
	u.RawPath = strings.TrimRight(escaped, "/") // an escaped slash stays
	u.Path, err = url.PathUnescape(u.RawPath)
	return u, err
}

// plainAllowed reports whether plain http reaches a host without leaving the
// machine or the container network.
func plainAllowed(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	if _, err := strconv.ParseUint(host, 0, 64); err == nil {
		return false // an IPv4 address written as one number
	}
	return validateID("host", host) == nil // one label: letters, digits, _ and -; no dot of any script
}
