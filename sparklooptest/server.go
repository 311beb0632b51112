// Package sparklooptest is a fake SparkLoop API for tests and demonstrations.
// It runs in your process and needs no network and no key. It has offers and
// submissions, confirms a conversion once, keeps the rate limit, answers with
// the documented texts, and fails on demand.
//
//	func TestCheckoutConfirms(t *testing.T) {
//		api := sparklooptest.NewServer(t)
//		shop := NewShop(api.Client())
//		landing, tracking := api.Click("", "https://shop.example/signup")
//		// ... send landing and a purchase through the shop's handlers ...
//		if !api.Confirmed(tracking) {
//			t.Error("the conversion is not confirmed")
//		}
//	}
//
// To test a lost answer to a confirmation:
//
//	api.Fail(sparklooptest.LostAnswer(), 1)
//
// # Assumptions
//
// The server follows SparkLoop's public documents. It was not checked against
// the live API. Where the documents give no answer, the server behaves as
// follows:
//
//   - A conversion of another type than Action, or confirmed before, returns 422.
//   - A confirmation more than 45 days after the click returns 422 with the text
//     "Offer submission has expired".
//   - A request over the limit returns 429 with the text "Too many requests" and no
//     Retry-After. It does not count towards the limit.
//
// # Without sockets
//
// [Server.Client] and [Server.Transport] never open a socket. They work within
// [testing/synctest], where days pass at once. [Server.URL] opens a port on the
// loopback interface.
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
	// APIKey is the default key of a server. [WithAPIKey] overrides it.
	APIKey = "test-key"

	// DefaultOffer is the ID of the Action offer that each server starts with.
	DefaultOffer = "offer_1234abcd"
)

// Server is the fake API. It is safe for concurrent use.
type Server struct {
	cfg     config
	fatalf  func(format string, args ...any)
	stopped chan struct{} // closed by Close

	listen   sync.Once
	listener net.Listener
	http     *http.Server
	err      error // of listening

	mu          sync.Mutex
	ahead       time.Duration // of the real clock
	offers      []sparkloop.Offer
	submissions map[string]*submission
	clicks      []*submission // oldest first
	window      []time.Time   // arrival times of the requests in the rolling window
	faults      []order
	requests    []Request
	changed     chan struct{} // closed and replaced at each confirmation
}

type config struct {
	key          string
	base, leaf   string // "": any published one
	unknownRoute Fault
	limit        int
	per          time.Duration
}

// Option configures a server.
type Option func(*config)

// WithAPIKey sets the only key that the server accepts. Default: [APIKey].
func WithAPIKey(key string) Option { return func(c *config) { c.key = key } }

// WithRateLimit sets the number of requests in any rolling window. Requests
// beyond it get a 429 and do not count. 0 requests turns the limit off.
// Default: the documented 120 in 60 seconds.
func WithRateLimit(requests int, window time.Duration) Option {
	return func(c *config) { c.limit, c.per = requests, window }
}

// WithEndpoint restricts the conversion endpoint to one of its published forms.
// The base is "/api/v2" or "/v2", the leaf "conversion" or "conversions".
// Default: all four.
func WithEndpoint(base, leaf string) Option {
	return func(c *config) { c.base, c.leaf = base, leaf }
}

// WithUnknownRoute sets the answer to an unknown route. Default: a 404 with
// {"status":404,"error":"Not Found"}.
func WithUnknownRoute(f Fault) Option { return func(c *config) { c.unknownRoute = f } }

// NewServer returns a server for a test, and closes it after the test. Within
// [testing/synctest], call it inside the bubble.
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

// New returns a server for a program. It is an [http.Handler], and opens no port
// before URL is called. A misuse panics, where it would fail the test of a server
// from [NewServer].
func New(opts ...Option) *Server {
	s := newServer(opts)
	s.fatalf = func(format string, args ...any) { panic(fmt.Sprintf("sparklooptest: "+format, args...)) }
	return s
}

// Start returns a server that listens on a free port of the loopback interface.
// It returns an error if there is no free port. Call Close when done.
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

// Close closes the server, and breaks off delayed answers. It may be called
// more than once. Tests do not need it: NewServer closes the server after the
// test.
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

// URL returns the server's address, for [sparkloop.WithBaseURL]. The first call
// opens a port on the loopback interface, and fails the test if there is none.
// After Close, connections to the address are refused.
func (s *Server) URL() string {
	s.listen.Do(s.serve)
	if s.err != nil {
		s.fatalf("%v", s.err)
	}
	return "http://" + s.listener.Addr().String() + s.base()
}

// base returns a base path that the server accepts.
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
		ErrorLog:          log.New(io.Discard, "", 0), // faults break connections on purpose
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

// Transport returns a transport to the server without a socket. It ignores the
// host in a request's URL.
func (s *Server) Transport() http.RoundTripper { return inMemory{s} }

// Client returns a client of the server, without a socket. It retries after one
// millisecond and does not pace its requests; opts override this. The server
// still has its limit: for more than 120 requests in a minute use
// WithRateLimit(0, 0), or [Server.Advance]. An invalid option fails the test.
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
