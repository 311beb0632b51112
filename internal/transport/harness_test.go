package transport_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/redact"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

const testKey = "key-for-tests"

var key = redact.NewKey(testKey)

// step answers one request of a script.
type step func(*http.Request) (*http.Response, error)

// script is a server in memory: each request takes the next step, and the last
// step repeats. It records the times of the requests.
type script struct {
	steps []step

	mu   sync.Mutex
	came []time.Time
	seen []*http.Request
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	next := s.steps[min(len(s.came), len(s.steps)-1)]
	s.came, s.seen = append(s.came, time.Now()), append(s.seen, r)
	s.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return next(r)
}

// gaps returns the pauses between the requests.
func (s *script) gaps() []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(s.came); i++ {
		gaps = append(gaps, s.came[i].Sub(s.came[i-1]))
	}
	return gaps
}

// status answers with a status, a body, and headers as pairs of name and value.
func status(code int, body string, header ...string) step {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{
			StatusCode: code, Header: h, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

// body answers 200 with a body of unknown length.
func body(from io.Reader) step {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(from), ContentLength: -1}, nil
	}
}

func fails(err error) step {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hangs sends no answer until the request is cancelled.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// cut answers 200 with a body that ends too early.
func cut(r *http.Request) (*http.Response, error) {
	return body(io.MultiReader(strings.NewReader(`{"message":"Conv`), brokenReader{}))(r)
}

// pauses is a Limiter without a limit that records the pauses.
type pauses struct {
	mu     sync.Mutex
	waits  int
	paused []time.Duration
	ended  []error         // of the contexts of Pause
	left   []time.Duration // until their deadlines
	ctx    context.Context //nolint:containedctx // the last one
	refuse func(wait int) error
}

func (p *pauses) Wait(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits++
	if p.refuse != nil {
		return p.refuse(p.waits)
	}
	return nil
}

func (p *pauses) Pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	deadline, _ := ctx.Deadline()
	p.ended, p.left, p.ctx = append(p.ended, ctx.Err()), append(p.left, time.Until(deadline)), ctx
	p.paused = append(p.paused, d)
	return nil
}

// newTransport returns a transport with the SDK's defaults, modified by change.
func newTransport(s http.RoundTripper, change ...func(*transport.Config)) *transport.Transport {
	cfg := transport.Config{
		Client:     &http.Client{Transport: s},
		Authorize:  key.Set,
		Redact:     key.Redact,
		UserAgent:  "test/1",
		Retries:    3,
		BackoffMin: 500 * time.Millisecond,
		BackoffMax: 30 * time.Second,
		PauseMax:   time.Minute,
		Streak:     new(transport.Streak),
	}
	for _, c := range change {
		c(&cfg)
	}
	return transport.New(cfg)
}

// outcome is a copy of an Answer that outlives its release.
type outcome struct {
	status, attempts int
	header           http.Header
	body             string
	err              error
}

func do(ctx context.Context, tr *transport.Transport, method string) outcome {
	u := &url.URL{Scheme: "https", Host: "api.example", Path: "/v2/offers"}
	a := tr.Do(ctx, method, u)
	defer a.Release()
	return outcome{a.StatusCode, a.Attempts, a.Header, string(a.Body), a.Err}
}

func get(t *testing.T, tr *transport.Transport) outcome {
	t.Helper()
	return do(t.Context(), tr, http.MethodGet)
}

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}
