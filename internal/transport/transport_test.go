package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/transport"
)

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{status(200, `{}`)}}
	tr := newTransport(s)
	got := do(t.Context(), tr, http.MethodPost)
	require.NoError(t, got.err)
	assert.Equal(t, outcome{status: 200, attempts: 1, header: http.Header{}, body: `{}`}, got)
	do(t.Context(), tr, http.MethodGet)

	post, list := s.seen[0], s.seen[1]
	assert.Equal(t, http.Header{
		"X-Api-Key":    {testKey},
		"Accept":       {"application/json"},
		"User-Agent":   {"test/1"},
		"Content-Type": {"application/json; charset=utf-8"},
	}, post.Header)
	assert.Equal(t, "https://api.example/v2/offers", post.URL.String())
	assert.Nil(t, post.Body)
	assert.Empty(t, list.Header.Get("Content-Type"))
}

func TestWhichStatusIsTriedAgain(t *testing.T) {
	t.Parallel()
	for code, attempts := range map[int]int{
		100: 1, 200: 1, 201: 1, 204: 1, 301: 1, 302: 1, 307: 1, 308: 1, 400: 1, 401: 1, 403: 1, 404: 1, 405: 1, 409: 1, 422: 1, 501: 1, 600: 1,
		408: 4, 425: 4, 429: 4, 500: 4, 502: 4, 503: 4, 504: 4, 507: 4, 520: 4, 599: 4,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := get(t, newTransport(&script{steps: []step{status(code, "last words")}}))
				assert.Equal(t, attempts, got.attempts)
				assert.Equal(t, code, got.status)
				assert.Equal(t, "last words", got.body)
				assert.NoError(t, got.err)
			})
		})
	}
}

func TestWhichErrorIsTriedAgain(t *testing.T) {
	t.Parallel()
	op := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	tests := []struct {
		name     string
		err      error
		attempts int
	}{
		{"connection refused", op("dial", syscall.ECONNREFUSED), 4},
		{"connection reset", op("read", syscall.ECONNRESET), 4},
		{"answer lost", io.ErrUnexpectedEOF, 4},
		{"no headers in time", errors.New("net/http: timeout awaiting response headers"), 4},
		{"name server down", &net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}, 4},
		{"no such host", op("dial", &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), 1},
		{"wrong certificate", &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}}, 1},
		{"unknown authority", x509.UnknownAuthorityError{}, 1},
		{"TLS alert", op("remote error", errors.New("tls: handshake failure")), 1},
		{"not TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, 1},
		{"plain HTTP on a TLS port", http.ErrSchemeMismatch, 1},
		{"proxy address", &url.Error{Op: "parse", URL: "::", Err: errors.New("missing protocol scheme")}, 1},
		{"scheme", errors.New(`unsupported protocol scheme "ftp"`), 1},
		{"cancelled within", fmt.Errorf("wrapped: %w", context.Canceled), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := get(t, newTransport(&script{steps: []step{fails(tt.err)}}))
				assert.Equal(t, tt.attempts, got.attempts)
				assert.ErrorIs(t, got.err, tt.err)
				assert.Zero(t, got.status)
			})
		})
	}
}

func TestRetriesOff(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{status(503, "busy")}}
	got := get(t, newTransport(s, func(c *transport.Config) { c.Retries = 0 }))
	assert.Equal(t, 1, got.attempts)
	assert.Equal(t, 503, got.status)
	assert.Equal(t, "busy", got.body)
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	t.Parallel()
	seen := make([]map[time.Duration]bool, 8)
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []step{status(503, "")}}
			get(t, newTransport(s, func(c *transport.Config) { c.Retries, c.BackoffMax = 8, 10*time.Second }))
			for n, gap := range s.gaps() {
				assert.GreaterOrEqual(t, gap, 250*time.Millisecond)
				assert.LessOrEqual(t, gap, min(10*time.Second, 500*time.Millisecond<<n))
				if seen[n] == nil {
					seen[n] = map[time.Duration]bool{}
				}
				seen[n][gap] = true
			}
		})
	}
	for n := range seen {
		assert.Greater(t, len(seen[n]), 10, "pause %d is not random", n)
	}
}

func TestRetryAfterGoesBeforeTheBackoff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, value string
		want        []time.Duration // nil: the backoff's
		attempts    int
	}{
		{"seconds", "7", []time.Duration{7 * time.Second}, 2},
		{"a date", "Sat, 01 Jan 2000 00:00:09 GMT", []time.Duration{9 * time.Second}, 2},
		{"the longest that is slept out", "60", []time.Duration{time.Minute}, 2},
		{"longer", "61", nil, 1},
		{"a day", "86400", nil, 1},
		{"overflow", "9223372037", nil, 1},
		{"beyond an int64", "99999999999999999999999", nil, 1},
		{"nothing", "0", nil, 2},
		{"a date in the past", "Fri, 31 Dec 1999 23:00:00 GMT", nil, 2},
		{"negative", "-5", nil, 2},
		{"no number", "soon", nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []step{status(503, "", "Retry-After", tt.value), status(200, "{}")}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				got := do(ctx, newTransport(s), http.MethodGet)
				require.NoError(t, got.err)
				assert.Equal(t, tt.attempts, got.attempts)
				switch {
				case tt.attempts == 1:
					assert.Zero(t, time.Since(start), "it returns at once")
					assert.Equal(t, 503, got.status)
				case tt.want != nil:
					assert.Equal(t, tt.want, s.gaps())
				default:
					assert.GreaterOrEqual(t, s.gaps()[0], 250*time.Millisecond)
					assert.LessOrEqual(t, s.gaps()[0], 500*time.Millisecond)
				}
			})
		})
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		value, date string
		want        time.Duration
		ok          bool
	}{
		{"", "", 0, false},
		{"12", "", 12 * time.Second, true},
		{" 12 ", "", 12 * time.Second, true},
		{"0", "", 0, false},
		{"86401", "", 24 * time.Hour, true},
		{"18446744073709551617", "", 24 * time.Hour, true},
		{"1.5", "", 2 * time.Second, true},
		{"19.5", "", 20 * time.Second, true},
		{"0.001", "", time.Second, true},
		{".5", "", time.Second, true},
		{"5.", "", 5 * time.Second, true},
		{"5.000", "", 5 * time.Second, true},
		{"0.0", "", 0, false},
		{".", "", 0, false},
		{"1.2.3", "", 0, false},
		{"1,5", "", 0, false},
		{"-1.5", "", 0, false},
		{"86400.1", "", 24 * time.Hour, true},
		{"99999999", "", 24 * time.Hour, true},
		{"100000000", "", 0, false},                                                // 1973
		{"1136214275", "Mon, 02 Jan 2006 15:04:05 GMT", 30 * time.Second, true},    // a Unix time
		{"1136214274.5", "Mon, 02 Jan 2006 15:04:05 GMT", 30 * time.Second, true},  // with a fraction
		{"1136214245", "Mon, 02 Jan 2006 15:04:05 GMT", 0, false},                  // that has passed
		{"1136214275000", "Mon, 02 Jan 2006 15:04:05 GMT", 30 * time.Second, true}, // in milliseconds
		{"99999999999", "Mon, 02 Jan 2006 15:04:05 GMT", 24 * time.Hour, true},
		{"100000000000", "Mon, 02 Jan 2006 15:04:05 GMT", 0, false}, // 1973 in milliseconds
		{"9223372036854775807", "Mon, 02 Jan 2006 15:04:05 GMT", 24 * time.Hour, true},
		{"9223372036854775807.5", "Mon, 02 Jan 2006 15:04:05 GMT", 24 * time.Hour, true},
		{"+3", "", 0, false},
		{"3, 4", "", 0, false},
		{"Mon, 02 Jan 2006 15:04:35 GMT", "Mon, 02 Jan 2006 15:04:05 GMT", 30 * time.Second, true},
		{"Monday, 02-Jan-06 15:04:35 GMT", "Mon, 02 Jan 2006 15:04:05 GMT", 30 * time.Second, true},
		{"Mon Jan  2 15:04:35 2006", "Mon, 02 Jan 2006 15:04:05 GMT", 30 * time.Second, true},
		{"Mon, 02 Jan 2006 15:04:04 GMT", "Mon, 02 Jan 2006 15:04:05 GMT", 0, false},
		{"Sun, 02 Jan 2106 15:04:04 GMT", "Mon, 02 Jan 2006 15:04:05 GMT", 24 * time.Hour, true},
		{"Mon, 02 Jan 2006 15:04:35 GMT", "", 0, false}, // long past
	}
	for _, tt := range tests {
		h := http.Header{}
		h.Set("Retry-After", tt.value)
		if tt.date != "" {
			h.Set("Date", tt.date)
		}
		got, ok := transport.RetryAfter(h)
		assert.Equal(t, tt.want, got, tt.value)
		assert.Equal(t, tt.ok, ok, tt.value)
	}
}

// At the deadline itself no time is left for an attempt either.
func TestAWaitToTheDeadlineEndsTheCallAtOnce(t *testing.T) {
	t.Parallel()
	for _, left := range []time.Duration{10 * time.Second, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []step{status(503, "busy", "Retry-After", "20")}}
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			start := time.Now()
			got := do(ctx, newTransport(s), http.MethodGet)
			assert.Zero(t, time.Since(start))
			require.ErrorIs(t, got.err, context.DeadlineExceeded)
			require.ErrorContains(t, got.err, "the next try is in 20s")
			assert.Equal(t, 503, got.status)
			assert.Equal(t, "busy", got.body)
			assert.Equal(t, 1, got.attempts)
		})
	}
}

func TestACancelledWaitKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{status(503, "busy", "Retry-After", "20")}}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(5 * time.Second)
			cancel()
		}()
		start := time.Now()
		got := do(ctx, newTransport(s), http.MethodGet)
		assert.Equal(t, 5*time.Second, time.Since(start))
		require.ErrorIs(t, got.err, context.Canceled)
		assert.Equal(t, 503, got.status)
		assert.Equal(t, "busy", got.body)
	})
}

func TestTheLastAnswerOutlivesALaterError(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		then step
		want error
	}{
		"connection lost": {fails(syscall.ECONNREFUSED), syscall.ECONNREFUSED},
		"hanging":         {hangs, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got := do(ctx, newTransport(&script{steps: []step{status(502, "gateway"), tt.then}}), http.MethodGet)
				require.ErrorIs(t, got.err, tt.want)
				assert.NotContains(t, got.err.Error(), "%!")
				assert.Equal(t, 502, got.status)
				assert.Equal(t, "gateway", got.body)
			})
		})
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("x", transport.MaxBody)
	tests := []struct {
		name     string
		steps    []step
		want     error
		body     string
		attempts int
	}{
		{"cut once", []step{cut, status(200, `{}`)}, nil, `{}`, 2},
		{"always cut", []step{cut}, io.ErrUnexpectedEOF, `{"message":"Conv`, 4},
		{"cut, then refused", []step{cut, status(422, "no")}, nil, "no", 2},
		{"the largest", []step{body(strings.NewReader(whole))}, nil, whole, 1},
		{"one byte more", []step{body(strings.NewReader(whole + "x"))}, transport.ErrTooLarge, whole, 1},
		{"the largest, announced", []step{status(200, whole)}, nil, whole, 1},
		{"announced as larger", []step{status(200, whole+"x")}, transport.ErrTooLarge, "", 1},
		{"empty", []step{status(200, "")}, nil, "", 1},
		{"of unknown length", []step{body(strings.NewReader(strings.Repeat("y", 3000)))}, nil, strings.Repeat("y", 3000), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := get(t, newTransport(&script{steps: tt.steps}))
				if tt.want == nil {
					require.NoError(t, got.err)
				}
				require.ErrorIs(t, got.err, tt.want)
				assert.Equal(t, tt.attempts, got.attempts)
				require.Len(t, got.body, len(tt.body)) // a diff of 8 MiB is unreadable
				assert.Equal(t, tt.body, got.body)
			})
		})
	}
}

// stuckBody returns neither a byte nor an error, slowly.
type stuckBody struct {
	pause  time.Duration
	reads  *int
	closed *bool
}

func (b stuckBody) Read([]byte) (int, error) {
	*b.reads++
	time.Sleep(b.pause)
	return 0, nil
}

func (b stuckBody) Close() error {
	*b.closed = true
	return nil
}

// A body without progress ends the attempt, by a count or by the deadline.
func TestABodyWithoutProgress(t *testing.T) {
	t.Parallel()
	for pause, tt := range map[time.Duration]struct {
		want  error
		reads int
	}{0: {io.ErrNoProgress, 100}, time.Second - 1: {context.DeadlineExceeded, 11}} {
		synctest.Test(t, func(t *testing.T) {
			reads, closed := 0, false
			s := &script{steps: []step{func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: stuckBody{pause, &reads, &closed}, ContentLength: -1}, nil
			}}}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got := do(ctx, newTransport(s, func(c *transport.Config) { c.Retries = 0 }), http.MethodGet)
			require.ErrorIs(t, got.err, tt.want)
			assert.Equal(t, tt.reads, reads)
			assert.True(t, closed, "the body is closed")
			assert.Equal(t, 200, got.status)
		})
	}
	// Empty reads between bytes are accepted.
	got := get(t, newTransport(&script{steps: []step{body(&hesitant{rest: "{}"})}}))
	require.NoError(t, got.err)
	assert.Equal(t, "{}", got.body)
}

// hesitant returns nothing 99 times before each byte.
type hesitant struct {
	rest  string
	times int
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.times++; h.times%100 != 0 {
		return 0, nil
	}
	if h.rest == "" {
		return 0, io.EOF
	}
	p[0], h.rest = h.rest[0], h.rest[1:]
	return 1, nil
}

func TestAnAnswerIsNotOverwrittenByTheNextCall(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{status(200, "first"), status(200, "second, longer"), status(200, "third")}}
	tr := newTransport(s)
	for _, want := range []string{"first", "second, longer", "third"} {
		assert.Equal(t, want, get(t, tr).body)
	}
}

// A Transport keeps no buffer of a very large answer.
func TestALargeAnswerIsNotKept(t *testing.T) {
	t.Parallel()
	tr := newTransport(&script{steps: []step{status(200, strings.Repeat("x", 4<<20)), status(200, "small")}})
	for _, want := range []int{4 << 20, len("small")} {
		a := tr.Do(t.Context(), http.MethodGet, mustParse("https://api.example/v2/offers"))
		require.NoError(t, a.Err)
		assert.Len(t, a.Body, want)
		if want < 1<<20 {
			assert.LessOrEqual(t, cap(a.Body), 1<<20)
		}
		a.Release()
	}
}

// A Retry-After counts even if the body of its answer was cut off.
func TestRetryAfterOfACutAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{func(r *http.Request) (*http.Response, error) {
			resp, _ := cut(r)
			resp.StatusCode = 503
			resp.Header.Set("Retry-After", "5")
			return resp, nil
		}, status(200, "{}")}}
		got := get(t, newTransport(s))
		require.NoError(t, got.err)
		assert.Equal(t, []time.Duration{5 * time.Second}, s.gaps())
	})
}

type inContext struct{}

func TestA429PausesEverybody(t *testing.T) {
	t.Parallel()
	t.Run("for what the API asks", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &pauses{}
			s := &script{steps: []step{status(429, "", "Retry-After", "12"), status(200, "{}")}}
			got := get(t, newTransport(s, func(c *transport.Config) { c.Limiter = p }))
			assert.Equal(t, 200, got.status)
			assert.Equal(t, []time.Duration{12 * time.Second}, p.paused)
			assert.Equal(t, []time.Duration{12 * time.Second}, s.gaps())
			assert.Equal(t, 2, p.waits, "the retry is paced too")
		})
	})
	t.Run("at most one window", func(t *testing.T) {
		t.Parallel()
		p := &pauses{}
		s := &script{steps: []step{status(429, "", "Retry-After", "7200")}}
		got := get(t, newTransport(s, func(c *transport.Config) { c.Limiter = p }))
		assert.Equal(t, 1, got.attempts)
		assert.Equal(t, []time.Duration{time.Minute}, p.paused)
	})
	t.Run("longer with each in a row", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &pauses{}
			s := &script{steps: []step{status(429, "")}}
			tr := newTransport(s, func(c *transport.Config) { c.Limiter, c.Retries = p, 0 })
			for range 10 {
				get(t, tr)
				time.Sleep(time.Second)
			}
			for n, d := range p.paused {
				ceiling := min(time.Minute, 500*time.Millisecond<<n)
				assert.GreaterOrEqual(t, d, ceiling/2)
				assert.LessOrEqual(t, d, ceiling)
			}
			s.steps = []step{status(200, "{}"), status(429, "")}
			s.came = nil
			get(t, tr)
			get(t, tr)
			assert.LessOrEqual(t, p.paused[10], 500*time.Millisecond, "another answer ends the row")
		})
	})
	t.Run("with a context that has not ended", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), inContext{}, "kept"), time.Second)
			defer cancel()
			p := &pauses{}
			late := func(r *http.Request) (*http.Response, error) {
				time.Sleep(2 * time.Second) // the answer comes after the deadline
				return status(429, "", "Retry-After", "12")(r)
			}
			got := do(ctx, newTransport(&script{steps: []step{late}}, func(c *transport.Config) { c.Limiter = p }), http.MethodGet)
			assert.Equal(t, 429, got.status)
			require.Error(t, ctx.Err())
			require.Equal(t, []time.Duration{12 * time.Second}, p.paused)
			require.NoError(t, p.ended[0])
			assert.Equal(t, 5*time.Second, p.left[0])
			assert.Equal(t, "kept", p.ctx.Value(inContext{}))
		})
	})
	t.Run("a connection that fails does not end the row", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &pauses{}
			tr := newTransport(&script{steps: []step{status(429, ""), fails(syscall.ECONNREFUSED), status(429, ""), status(429, "")}}, func(c *transport.Config) { c.Limiter, c.Retries = p, 0 })
			for range 4 {
				get(t, tr)
				time.Sleep(time.Second)
			}
			require.Len(t, p.paused, 3)
			assert.GreaterOrEqual(t, p.paused[1], 500*time.Millisecond)
			assert.GreaterOrEqual(t, p.paused[2], time.Second)
		})
	})
	t.Run("a burst counts once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &pauses{}
			slow := func(r *http.Request) (*http.Response, error) {
				time.Sleep(50 * time.Millisecond)
				return status(429, "")(r)
			}
			tr := newTransport(&script{steps: []step{slow}}, func(c *transport.Config) { c.Limiter, c.Retries = p, 0 })
			done := make(chan outcome)
			for range 30 {
				go func() { done <- do(t.Context(), tr, http.MethodGet) }()
			}
			for range 30 {
				<-done
			}
			require.Len(t, p.paused, 30)
			for _, d := range p.paused {
				assert.LessOrEqual(t, d, 500*time.Millisecond)
			}
		})
	})
	t.Run("and without pacing only its own call", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []step{status(429, "", "Retry-After", "3"), status(200, "{}")}}
			assert.Equal(t, 200, get(t, newTransport(s)).status)
			assert.Equal(t, []time.Duration{3 * time.Second}, s.gaps())
		})
	})
}

func TestTheLimiterRefuses(t *testing.T) {
	t.Parallel()
	noSlot := fmt.Errorf("the next one is in 1h: %w", context.DeadlineExceeded)
	t.Run("before the first request", func(t *testing.T) {
		t.Parallel()
		s := &script{steps: []step{status(200, "{}")}}
		p := &pauses{refuse: func(int) error { return noSlot }}
		got := get(t, newTransport(s, func(c *transport.Config) { c.Limiter = p }))
		require.EqualError(t, got.err, "no slot for a request in time: the next one is in 1h: context deadline exceeded")
		require.ErrorIs(t, got.err, transport.ErrNoSlot)
		require.ErrorIs(t, got.err, context.DeadlineExceeded)
		assert.Zero(t, got.attempts)
		assert.Empty(t, s.came, "nothing is sent")
	})
	t.Run("before a retry", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []step{status(503, "busy")}}
			p := &pauses{refuse: func(n int) error {
				if n == 1 {
					return nil
				}
				return noSlot
			}}
			got := get(t, newTransport(s, func(c *transport.Config) { c.Limiter = p }))
			require.ErrorIs(t, got.err, transport.ErrNoSlot)
			assert.Equal(t, 503, got.status)
			assert.Equal(t, 1, got.attempts)
		})
	})
	t.Run("with an error of its own", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("the database is gone")
		p := &pauses{refuse: func(int) error { return broken }}
		got := get(t, newTransport(&script{steps: []step{status(200, "{}")}}, func(c *transport.Config) { c.Limiter = p }))
		require.ErrorIs(t, got.err, broken)
		assert.NotErrorIs(t, got.err, transport.ErrNoSlot)
	})
}

// A limiter whose Pause fails does not fail a call, with or without a logger.
func TestALimiterThatCannotPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		for _, to := range []transport.Log{nil, transport.NewLog(slog.New(slog.NewTextHandler(&log, nil)))} {
			s := &script{steps: []step{status(429, ""), status(200, "{}")}}
			got := get(t, newTransport(s, func(c *transport.Config) { c.Limiter, c.Log = &stubborn{}, to }))
			require.NoError(t, got.err)
			assert.Equal(t, 200, got.status)
		}
		assert.Contains(t, log.String(), `level=WARN msg="sparkloop: the limiter could not pause" error="the database is gone"`)
	})
}

type stubborn struct{ pauses }

func (*stubborn) Pause(context.Context, time.Duration) error {
	return errors.New("the database is gone")
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{status(200, "{}")}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := do(ctx, newTransport(s), http.MethodGet)
	require.ErrorIs(t, got.err, context.Canceled)
	assert.Empty(t, s.came)
}

func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &script{steps: []step{
			fails(fmt.Errorf("malformed answer: %s", testKey)),
			status(503, "a body with "+testKey), status(503, ""), status(503, ""),
			status(501, ""),
			status(200, "{}"),
			hangs,
		}}
		tr := newTransport(s, func(c *transport.Config) {
			c.Log = transport.NewLog(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		})
		get(t, tr)
		out := log.String()
		assert.Equal(t, 4, strings.Count(out, `level=DEBUG msg="sparkloop: attempt" method=GET path=/v2/offers attempt=`))
		assert.Equal(t, 1, strings.Count(out, `level=WARN msg="sparkloop: giving up" method=GET path=/v2/offers attempts=4 status=503`))
		assert.Contains(t, out, "[redacted]")

		log.Reset()
		get(t, tr)
		assert.Contains(t, log.String(), `attempts=1 status=501`)

		log.Reset()
		get(t, tr)
		assert.NotContains(t, log.String(), "WARN", "a success is no reason to warn")

		log.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		do(ctx, tr, http.MethodGet)
		do(ctx, tr, http.MethodGet) // not even sent
		assert.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
		assert.NotContains(t, out+log.String(), testKey)
	})
}
