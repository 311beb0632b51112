package sqliteoutbox_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

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

// simulated is a queue on a moved clock, with the time of each confirmation.
type simulated struct {
	*sqliteoutbox.Outbox
	mu        sync.Mutex
	confirmed map[string]time.Time
}

func simulate(t *testing.T, o outbox.Options) *simulated {
	t.Helper()
	c, err := sparkloop.New("test-key", sparkloop.WithHTTPClient(&http.Client{Transport: answers{}}))
	require.NoError(t, err)
	s := &simulated{confirmed: make(map[string]time.Time)}
	o.Logger = slog.New(slog.DiscardHandler)
	o.OnConfirmed = func(e outbox.Entry) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.confirmed[e.Tracking.Submission] = time.Now()
	}
	s.Outbox, err = sqliteoutbox.Open(t.Context(), filepath.Join(t.TempDir(), "sparkloop.db"), c, o)
	require.NoError(t, err)
	return s
}

func (s *simulated) at(submission string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.confirmed[submission]
	return at, ok
}

// Each minute brings one healthy conversion, for three hours in the full form.
// Beside them wait conversions that always get a 500: of the same offer, of one
// other offer, or each of another offer.
func TestChaosOfBrokenConversions(t *testing.T) {
	t.Parallel()
	all, counts := 15, []int{100}
	if os.Getenv("SPARKLOOP_CHAOS") == "full" {
		all, counts = 180, []int{0, 1, 5, 20, 100}
	}
	for where, offer := range map[string]func(n int) string{
		"of the same offer":    func(int) string { return "offer_x" },
		"of one other offer":   func(int) string { return "offer_y" },
		"each of an own offer": func(n int) string { return fmt.Sprint("offer_", n) },
	} {
		for _, broken := range counts {
			t.Run(fmt.Sprint(broken, " ", where), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := simulate(t, outbox.Options{})
					for n := range broken {
						require.NoError(t, s.Enqueue(t.Context(), sparkloop.Tracking{Offer: offer(n), Submission: fmt.Sprint("broken_", n)}))
					}
					enqueued := make([]time.Time, all)
					for n := range enqueued {
						time.Sleep(time.Minute)
						enqueued[n] = time.Now()
						require.NoError(t, s.Enqueue(t.Context(), sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("healthy_", n)}))
					}
					time.Sleep(time.Minute)
					var took []time.Duration
					for n := range enqueued {
						at, ok := s.at(fmt.Sprint("healthy_", n))
						if assert.True(t, ok, "healthy_%d is not delivered", n) {
							took = append(took, at.Sub(enqueued[n]))
						}
					}
					slices.Sort(took)
					t.Logf("p50 %s, p95 %s, max %s", took[all/2].Round(time.Millisecond), took[all*95/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
					assert.Less(t, took[all/2], time.Minute)
					require.NoError(t, s.Close(t.Context()))
				})
			})
		}
	}
}

// A first sweep enqueues a backlog that expires nearly as fast as the limit can
// confirm it: 100,000 conversions in the full form. Each minute brings six new
// conversions. None waits for long, and none expires.
func TestChaosOfABacklog(t *testing.T) {
	t.Parallel()
	all := 600
	if os.Getenv("SPARKLOOP_CHAOS") == "full" {
		all = 100_000
	}
	synctest.Test(t, func(t *testing.T) {
		const each = 600 * time.Millisecond // slots are 508 ms apart
		start := time.Now()
		expires := func(n int) time.Time { return start.Add(time.Minute + time.Duration(n+1)*each).Truncate(time.Second) }
		backlog := make([]sparkloop.Tracking, all)
		for i, n := range rand.Perm(all) {
			backlog[i] = sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("old_", n), CapturedAt: expires(n).AddDate(0, 0, -45).UTC()}
		}
		s := simulate(t, outbox.Options{Source: func(context.Context, time.Time) ([]sparkloop.Tracking, error) { return backlog, nil }})
		time.Sleep(5 * time.Second)
		var enqueued []time.Time
		for pending := all; pending > 0; time.Sleep(10 * time.Second) {
			require.NoError(t, s.Enqueue(t.Context(), sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("new_", len(enqueued)), CapturedAt: time.Now()}))
			enqueued = append(enqueued, time.Now())
			if len(enqueued)%20 == 0 || all < 1000 {
				stats, err := s.Stats(t.Context())
				require.NoError(t, err)
				assert.Zero(t, stats.Expired+stats.Dead)
				pending = stats.Pending - 1 // without the new one
			}
			require.Less(t, time.Since(start), time.Duration(all)*each+5*time.Minute, "the backlog does not shrink")
		}
		time.Sleep(time.Minute)
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
		t.Logf("%d of a backlog in %s, %d too late; %d new ones, the slowest in %s", all, time.Since(start).Round(time.Second), late, len(enqueued), slowest.Round(time.Millisecond))
		assert.Zero(t, late)
		assert.Less(t, slowest, 10*time.Minute)
		require.NoError(t, s.Close(t.Context()))
	})
}
