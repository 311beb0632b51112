package sparkloopprom_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// fake is a queue that only implements Stats.
type fake struct {
	outbox.Queue
	stats func(context.Context) (outbox.Stats, error)
}

func (f *fake) Stats(ctx context.Context) (outbox.Stats, error) { return f.stats(ctx) }

// counted is a fake that counts deliveries.
type counted struct{ fake }

func (*counted) Delivered() outbox.Delivered {
	return outbox.Delivered{Confirmed: 7, Dead: 2, Expired: 1, Retried: 9}
}

func figures(s outbox.Stats) func(context.Context) (outbox.Stats, error) {
	return func(context.Context) (outbox.Stats, error) { return s, nil }
}

// scrape returns the metrics in Prometheus' text format, without HELP and TYPE.
func scrape(t *testing.T, collectors ...prometheus.Collector) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors...)
	return gathered(t, registry)
}

func TestCollectorShowsEachFigure(t *testing.T) {
	t.Parallel()
	q := &counted{fake{stats: figures(outbox.Stats{
		Time: noon, Pending: 3, Confirmed: 1000, Dead: 4, Expired: 5, Swept: 6,
		OldestPending: noon.Add(-90 * time.Second), LastDied: noon.Add(-1500 * time.Millisecond),
		PausedSince: noon.Add(-time.Minute), PausedReason: "offer_secret 401", ConfirmedByHour: [24]int{22: 50, 23: 8},
	})}}
	require.Equal(t, []string{
		`sparkloop_outbox_confirmed_last_hour 8`,
		`sparkloop_outbox_conversions{state="confirmed"} 1000`,
		`sparkloop_outbox_conversions{state="dead"} 4`,
		`sparkloop_outbox_conversions{state="expired"} 5`,
		`sparkloop_outbox_conversions{state="pending"} 3`,
		`sparkloop_outbox_deliveries_total{outcome="confirmed"} 7`,
		`sparkloop_outbox_deliveries_total{outcome="dead"} 2`,
		`sparkloop_outbox_deliveries_total{outcome="expired"} 1`,
		`sparkloop_outbox_deliveries_total{outcome="retried"} 9`,
		`sparkloop_outbox_last_died_timestamp_seconds 1.7956079985e+09`,
		`sparkloop_outbox_oldest_pending_age_seconds 90`,
		`sparkloop_outbox_pause_duration_seconds 60`,
		`sparkloop_outbox_paused 1`,
		`sparkloop_outbox_swept_conversions 6`,
		`sparkloop_outbox_up 1`,
	}, scrape(t, sparkloopprom.NewCollector(q)))
}

func TestCollectorOfAQueueInWhichNothingHappened(t *testing.T) {
	t.Parallel()
	metrics := scrape(t, sparkloopprom.NewCollector(&fake{stats: figures(outbox.Stats{Time: noon})}))
	require.Len(t, metrics, 11, "without counters: this queue has none")
	for _, m := range metrics {
		if m != "sparkloop_outbox_up 1" {
			assert.True(t, strings.HasSuffix(m, " 0"), m)
		}
	}
}

// A clock that was set back never causes negative times.
func TestCollectorNeverShowsANegativeTime(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	metrics := scrape(t, sparkloopprom.NewCollector(&fake{stats: figures(outbox.Stats{Time: noon, OldestPending: later, PausedSince: later})}))
	assert.Contains(t, metrics, "sparkloop_outbox_oldest_pending_age_seconds 0")
	assert.Contains(t, metrics, "sparkloop_outbox_pause_duration_seconds 0")
	assert.Contains(t, metrics, "sparkloop_outbox_paused 1")
}

// An unreadable queue reports no old figures and does not fail the scrape. Its
// figures return once it is readable.
func TestCollectorOfAQueueThatCannotBeRead(t *testing.T) {
	t.Parallel()
	down := []string{
		`sparkloop_outbox_deliveries_total{outcome="confirmed"} 7`,
		`sparkloop_outbox_deliveries_total{outcome="dead"} 2`,
		`sparkloop_outbox_deliveries_total{outcome="expired"} 1`,
		`sparkloop_outbox_deliveries_total{outcome="retried"} 9`,
		`sparkloop_outbox_up 0`,
	}
	q := &counted{}
	c := sparkloopprom.NewCollector(q)
	for range 2 {
		q.stats = figures(outbox.Stats{Time: noon, Pending: 3})
		assert.Contains(t, scrape(t, c), `sparkloop_outbox_conversions{state="pending"} 3`)
		q.stats = func(context.Context) (outbox.Stats, error) {
			return outbox.Stats{Pending: 3}, errors.New("database is locked")
		}
		assert.Equal(t, down, scrape(t, c))
		q.stats = func(context.Context) (outbox.Stats, error) { panic("no database") }
		assert.Equal(t, down, scrape(t, c))
	}
}

// A database that hangs, even if it ignores its context, delays one scrape by 5
// seconds and later scrapes not at all.
func TestCollectorBoundsAScrape(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		q := &fake{stats: func(context.Context) (outbox.Stats, error) { <-hang; return outbox.Stats{}, nil }}
		c := sparkloopprom.NewCollector(q)
		began := time.Now()
		var scrapes sync.WaitGroup
		for range 3 {
			scrapes.Go(func() { assert.Equal(t, []string{"sparkloop_outbox_up 0"}, scrape(t, c)) })
		}
		scrapes.Wait()
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.Equal(t, []string{"sparkloop_outbox_up 0"}, scrape(t, c))
		assert.Equal(t, 5*time.Second, time.Since(began))
		close(hang)
		synctest.Wait()
		assert.Contains(t, scrape(t, c), "sparkloop_outbox_up 1")
	})
}

func TestTwoQueuesNeedALabel(t *testing.T) {
	t.Parallel()
	eu := sparkloopprom.NewCollector(&fake{stats: figures(outbox.Stats{Time: noon, Pending: 1})})
	us := sparkloopprom.NewCollector(&fake{stats: figures(outbox.Stats{Time: noon, Pending: 2})})
	registry := prometheus.NewPedanticRegistry()
	for name, c := range map[string]prometheus.Collector{"eu": eu, "us": us} {
		require.NoError(t, prometheus.WrapRegistererWith(prometheus.Labels{"queue": name}, registry).Register(c))
	}
	metrics := gathered(t, registry)
	assert.Contains(t, metrics, `sparkloop_outbox_conversions{queue="eu",state="pending"} 1`)
	assert.Contains(t, metrics, `sparkloop_outbox_conversions{queue="us",state="pending"} 2`)

	registry = prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(eu))
	require.ErrorAs(t, registry.Register(us), new(prometheus.AlreadyRegisteredError))
}

func TestCollectorNeedsAQueue(t *testing.T) {
	t.Parallel()
	var failed *sqliteoutbox.Outbox // of an Open whose error was ignored
	for _, q := range []outbox.Queue{nil, failed} {
		assert.PanicsWithValue(t, "sparkloopprom: NewCollector: the queue is nil", func() { sparkloopprom.NewCollector(q) })
	}
}

// After a restart the counters begin at 0. The gauges continue, because they
// are read from the database.
func TestMetricsAcrossARestart(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	path := filepath.Join(t.TempDir(), "sparkloop.db")
	transport := sparkloopprom.NewTransport(api.Transport())
	open := func() *sqliteoutbox.Outbox {
		q, err := sqliteoutbox.Open(t.Context(), path, api.Client(httpClient(transport)), outbox.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		return q
	}
	q := open()
	_, known := api.Click("", "https://shop.example/")
	unknown := sparkloop.Tracking{Offer: known.Offer, Submission: "nobody-knows-me"}
	require.NoError(t, q.Enqueue(t.Context(), known))
	require.NoError(t, q.Enqueue(t.Context(), unknown))
	require.Eventually(t, func() bool { return q.Delivered() == outbox.Delivered{Confirmed: 1, Dead: 1} }, 20*time.Second, 5*time.Millisecond)
	metrics := scrape(t, sparkloopprom.NewCollector(q), transport)
	for _, want := range []string{
		`sparkloop_outbox_conversions{state="confirmed"} 1`,
		`sparkloop_outbox_conversions{state="dead"} 1`,
		`sparkloop_outbox_deliveries_total{outcome="confirmed"} 1`,
		`sparkloop_outbox_deliveries_total{outcome="dead"} 1`,
		`sparkloop_outbox_confirmed_last_hour 1`,
		`sparkloop_client_requests_total{code="2xx",operation="confirm"} 1`,
		`sparkloop_client_requests_total{code="401",operation="confirm"} 0`,
	} {
		assert.Contains(t, metrics, want)
	}
	for _, secret := range []string{known.Offer, known.Submission, unknown.Submission, sparklooptest.APIKey} {
		assert.NotContains(t, strings.Join(metrics, "\n"), secret)
	}

	require.NoError(t, q.Close(t.Context()))
	q = open()
	defer q.Close(context.Background())
	metrics = scrape(t, sparkloopprom.NewCollector(q))
	assert.Contains(t, metrics, `sparkloop_outbox_conversions{state="confirmed"} 1`)
	assert.Contains(t, metrics, `sparkloop_outbox_confirmed_last_hour 1`)
	assert.Contains(t, metrics, `sparkloop_outbox_deliveries_total{outcome="confirmed"} 0`)
}

// Prometheus' linter accepts the names.
func TestNamesFollowTheConventions(t *testing.T) {
	t.Parallel()
	registry := everything(t)
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	assert.Empty(t, problems)
}
