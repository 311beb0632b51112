// Package sparklooptest is a SparkLoop API for tests and demonstrations: a
// server in your own process which knows offers, submissions and keys, confirms
// a conversion once, holds the rate limit, answers with the documented texts,
// and fails in the ways you order.
//
//	func TestCheckoutConfirms(t *testing.T) {
//		api := sparklooptest.NewServer(t)
//		shop := NewShop(api.Client())
//		landing, tracking := api.Click("", "https://shop.example/signup")
//		// ... send landing and a purchase through the shop's handlers ...
//		if !api.Confirmed(tracking) {
//			t.Error("the publisher is not paid")
//		}
//	}
//
// To see how the handler fares when the answer to a confirmation is lost:
//
//	api.Fail(sparklooptest.LostAnswer(), 1)
//
// # What is chosen
//
// It answers as SparkLoop's public documents say; nothing was compared with the
// live API. Where the documents are silent, this is what it does: a conversion
// of another type than Action, or one confirmed before, is a 422; so is a
// confirmation more than 45 days after the click, with the text "Offer
// submission has expired"; over the limit the text is "Too many requests",
// there is no Retry-After, and such a request does not count.
//
// # Without sockets
//
// [Server.Client] and [Server.Transport] never open a socket, so they work
// within [testing/synctest], where days pass in no time. [Server.URL] opens a
// port on loopback, for programs and for tests that want a real connection.
package sparklooptest

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// APIKey is the key that a server takes unless told otherwise.
	APIKey = "test-key"

	// DefaultOffer is the id of the Action offer that each server starts with.
	DefaultOffer = "offer_1234abcd"
)

// Server is the API. It is safe for concurrent use.
type Server struct {
	cfg     config
	fatalf  func(format string, args ...any)
	stopped chan struct{} // closed by Close

	listen   sync.Once
	listener net.Listener
	http     *http.Server
	err      error // listening's

	mu          sync.Mutex
	ahead       time.Duration // of the real clock
	offers      []sparkloop.Offer
	submissions map[string]*submission
	clicks      []*submission // the oldest first
	window      []time.Time   // when the requests in the rolling window came
	faults      []order
	requests    []Request
	changed     chan struct{} // closed and replaced at each confirmation
}

type config struct {
	key          string
	base, leaf   string // "" is any published one
	unknownRoute Fault
	limit        int
	per          time.Duration
}

// Option changes what a server is.
type Option func(*config)

// WithAPIKey makes key the only one that the server takes.
func WithAPIKey(key string) Option { return func(c *config) { c.key = key } }

// WithRateLimit takes so many requests in any rolling window and answers the
// rest with a 429; those do not count. 0 requests turns it off. The default is
// the documented 120 per 60 s.
func WithRateLimit(requests int, window time.Duration) Option {
	return func(c *config) { c.limit, c.per = requests, window }
}

// WithEndpoint makes the server know the conversion endpoint in one of its
// published forms alone: the base "/api/v2" or "/v2", the leaf "conversion" or
// "conversions". By default it knows all four.
func WithEndpoint(base, leaf string) Option {
	return func(c *config) { c.base, c.leaf = base, leaf }
}

// WithUnknownRoute sets what a route that the server does not know answers. The
// default is a 404 with {"status":404,"error":"Not Found"}.
func WithUnknownRoute(f Fault) Option { return func(c *config) { c.unknownRoute = f } }

// NewServer returns a server for a test, which closes it. Used within
// [testing/synctest], it must be made inside the bubble.
func NewServer(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s := newServer(opts)
	s.fatalf = func(format string, args ...any) {
		tb.Helper()
		tb.Fatalf("sparklooptest: "+format, args...)
	}
	tb.Cleanup(s.Close)
	return s
}

// New returns a server for a program that serves it on an address of its own:
// a Server is an [http.Handler]. It opens no port before URL is called. Where a
// method's comment says that it fails, this server panics.
func New(opts ...Option) *Server {
	s := newServer(opts)
	s.fatalf = func(format string, args ...any) { panic(fmt.Sprintf("sparklooptest: "+format, args...)) }
	return s
}

// Start returns the server of New, listening on a free port of the loopback
// interface. Close ends it.
func Start(opts ...Option) (*Server, error) {
	s := New(opts...)
	s.listen.Do(s.serve)
	if s.err != nil {
		return nil, fmt.Errorf("sparklooptest: %w", s.err)
	}
	return s, nil
}

func newServer(opts []Option) *Server {
	s := &Server{
		cfg: config{
			key:          APIKey,
			unknownRoute: Status(http.StatusNotFound, `{"status":404,"error":"Not Found"}`),
			limit:        120,
			per:          time.Minute,
		},
		stopped:     make(chan struct{}),
		submissions: make(map[string]*submission),
		changed:     make(chan struct{}),
	}
	for _, opt := range opts {
		opt(&s.cfg)
	}
	s.AddOffer(sparkloop.Offer{
		UUID:            DefaultOffer,
		Name:            "Free trial",
		Headline:        "Try it for 14 days",
		RedirectURL:     "https://example.com/signup",
		ConversionEvent: "trial",
		CPA:             2_350_000,
		MonthlyBudget:   5_000_000_000,
	})
	return s
}

// Close ends the server and every answer that it still holds back. A test's
// server is closed by itself; closing twice is harmless.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stopped:
		return
	default:
	}
	close(s.stopped)
	if s.http != nil {
		s.http.Close()
	}
}

// URL returns the server's address for [sparkloop.WithBaseURL]. The first call
// opens the port, on loopback, and fails if there is no free port. After Close,
// URL still returns an address, where connections are refused.
func (s *Server) URL() string {
	s.listen.Do(s.serve)
	if s.err != nil {
		s.fatalf("%v", s.err)
	}
	return "http://" + s.listener.Addr().String() + s.base()
}

// base is one that the server knows.
func (s *Server) base() string {
	if s.cfg.base != "" {
		return s.cfg.base
	}
	return bases[0]
}

func (s *Server) serve() {
	s.listener, s.err = net.Listen("tcp", "127.0.0.1:0")
	if s.err != nil {
		return
	}
	server := &http.Server{
		Handler:           s,
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections are ordered
		ReadHeaderTimeout: 10 * time.Second,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stopped:
		s.listener.Close() //nolint:errcheck // nobody was served
		return
	default:
	}
	s.http = server
	go server.Serve(s.listener) //nolint:errcheck // it ends with Close
}

// Transport is the same API without a socket, whatever the host in a request's
// URL.
func (s *Server) Transport() http.RoundTripper { return inMemory{s} }

// Client returns a client of the server, without a socket. It retries after a
// millisecond and does not pace, unless opts say otherwise. The server still
// has its limit: for more than 120 requests in a minute turn that off with
// WithRateLimit(0, 0), or move the clock. A wrong option fails.
func (s *Server) Client(opts ...sparkloop.Option) *sparkloop.Client {
	c, err := sparkloop.New(s.cfg.key, append([]sparkloop.Option{
		sparkloop.WithHTTPClient(&http.Client{Transport: s.Transport()}),
		sparkloop.WithBackoff(time.Millisecond, 2*time.Millisecond),
		sparkloop.WithRateLimit(0, 0),
	}, opts...)...)
	if err != nil {
		s.fatalf("%v", err)
	}
	return c
}
