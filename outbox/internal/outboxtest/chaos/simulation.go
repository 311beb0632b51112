package chaos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Simulation is a queue with default options and an API that answers at once. The
// queue's clock runs Fast times as fast as real time.
type Simulation struct {
	Fast int
	Open func(t *testing.T, c *sparkloop.Client, o outbox.Options) outbox.Queue

	began     time.Time
	queue     outbox.Queue
	mu        sync.Mutex
	confirmed map[string]time.Time // by submission
}

// answers is an API that confirms all conversions except those with "broken" in
// their IDs.
type answers struct{}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, `{"message":"Conversion tracked successfully"}`
	if strings.Contains(r.URL.Path, "broken") {
		status, body = http.StatusInternalServerError, `{"error":"Internal Server Error"}`
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// now returns the time on the queue's clock.
func (s *Simulation) now() time.Time { return s.began.Add(time.Duration(s.Fast) * time.Since(s.began)) }

// sleep returns after d on the queue's clock.
func (s *Simulation) sleep(d time.Duration) { time.Sleep(d / time.Duration(s.Fast)) }

func (s *Simulation) open(t *testing.T, o outbox.Options) {
	t.Helper()
	c, err := sparkloop.New("test-key", sparkloop.WithHTTPClient(&http.Client{Transport: answers{}}),
		sparkloop.WithRateLimit(120*s.Fast, time.Minute))
	require.NoError(t, err)
	s.confirmed = make(map[string]time.Time)
	o.Logger = slog.New(slog.DiscardHandler)
	o.OnConfirmed = func(e outbox.Entry) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.confirmed[e.Tracking.Submission] = s.now()
	}
	if s.Fast > 1 {
		o.Now = s.now
	}
	s.queue = s.Open(t, c, o)
}

func (s *Simulation) at(submission string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.confirmed[submission]
	return at, ok
}

// Offers are functions for the offers of broken conversions: the healthy ones'
// offer, one other offer, or one offer each.
var Offers = map[string]func(n int) string{
	"of the same offer":    func(int) string { return "offer_x" },
	"of one other offer":   func(int) string { return "offer_y" },
	"each of an own offer": func(n int) string { return fmt.Sprint("offer_", n) },
}

// BesideBroken enqueues one healthy conversion a minute beside conversions that
// always get a 500. The median of the healthy ones takes less than a minute.
func (s *Simulation) BesideBroken(t *testing.T, broken, healthy int, offer func(n int) string) {
	t.Helper()
	s.began = time.Now()
	s.open(t, outbox.Options{})
	for n := range broken {
		require.NoError(t, s.queue.Enqueue(t.Context(), sparkloop.Tracking{Offer: offer(n), Submission: fmt.Sprint("broken_", n)}))
	}
	enqueued := make([]time.Time, healthy)
	for n := range enqueued {
		s.sleep(time.Minute)
		enqueued[n] = s.now()
		require.NoError(t, s.queue.Enqueue(t.Context(), sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("healthy_", n)}))
	}
	s.sleep(2 * time.Minute)
	var took []time.Duration
	for n := range enqueued {
		at, ok := s.at(fmt.Sprint("healthy_", n))
		if assert.True(t, ok, "healthy_%d is not delivered", n) {
			took = append(took, at.Sub(enqueued[n]))
		}
	}
	require.Len(t, took, healthy)
	slices.Sort(took)
	t.Logf("FIGURES p50 %s, p95 %s, max %s", took[healthy/2].Round(time.Millisecond), took[healthy*95/100].Round(time.Millisecond), took[healthy-1].Round(time.Millisecond))
	assert.Less(t, took[healthy/2], time.Minute)
	require.NoError(t, s.queue.Close(t.Context()))
}

// Backlog has a first sweep whose conversions expire nearly as fast as 120 a minute
// confirm them. Each minute brings six new conversions. None waits for long, and
// none expires.
func (s *Simulation) Backlog(t *testing.T, all int) {
	t.Helper()
	const each = 600 * time.Millisecond // slots are 508 ms apart
	s.began = time.Now()
	start := s.began
	sweep := time.Duration(s.Fast) * time.Minute // for storing the conversions
	expires := func(n int) time.Time { return start.Add(sweep + time.Duration(n+1)*each).Truncate(time.Second) }
	backlog := make([]sparkloop.Tracking, all)
	for i, n := range rand.Perm(all) {
		backlog[i] = sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("old_", n), CapturedAt: expires(n).AddDate(0, 0, -45).UTC()}
	}
	s.open(t, outbox.Options{Source: func(context.Context, time.Time) ([]sparkloop.Tracking, error) { return backlog, nil }})
	s.sleep(sweep / 12)
	var enqueued []time.Time
	for pending := all; pending > 0; s.sleep(10 * time.Second) {
		now := s.now()
		require.NoError(t, s.queue.Enqueue(t.Context(), sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("new_", len(enqueued)), CapturedAt: now}))
		enqueued = append(enqueued, now)
		if len(enqueued)%20 == 0 || all < 1000 {
			stats, err := s.queue.Stats(t.Context())
			require.NoError(t, err)
			assert.Zero(t, stats.Expired+stats.Dead)
			pending = stats.Pending - s.Fast // new ones
		}
		require.Less(t, s.now().Sub(start), time.Duration(all)*each+5*sweep, "the backlog does not shrink")
	}
	took := s.now().Sub(start)
	s.sleep(sweep)
	slowest, late := time.Duration(0), 0
	for n, began := range enqueued {
		at, ok := s.at(fmt.Sprint("new_", n))
		require.True(t, ok, "new_%d", n)
		slowest = max(slowest, at.Sub(began))
	}
	for n := range all {
		at, ok := s.at(fmt.Sprint("old_", n))
		require.True(t, ok, "old_%d", n)
		if at.After(expires(n)) {
			late++
		}
	}
	t.Logf("FIGURES %d of a backlog in %s, %d too late; %d new ones, the slowest in %s", all, took.Round(time.Second), late, len(enqueued), slowest.Round(time.Millisecond))
	assert.Zero(t, late)
	assert.Less(t, slowest, 10*time.Minute)
	require.NoError(t, s.queue.Close(t.Context()))
}
