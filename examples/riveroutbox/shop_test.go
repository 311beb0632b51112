package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// newShop is a web process on a database of its own, and its address.
func newShop(t *testing.T) (s *shop, url string) {
	t.Helper()
	pool, url := newPool(t)
	makeOrders(t, pool)
	quiet := slog.New(slog.DiscardHandler)
	queue, err := riveroutbox.Open(t.Context(), pool, sparklooptest.NewServer(t).Client(), riveroutbox.Options{
		Options: outbox.Options{Workers: -1, Logger: quiet},
		Schema:  outboxSchema,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, queue.Close(context.Background())) })
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	require.NoError(t, err)
	return &shop{pool, queue, keep, quiet}, url
}

func makeOrders(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), ordersSchema)
	require.NoError(t, err)
}

func tracked(submission string) sparkloop.Tracking {
	return sparkloop.Tracking{Offer: sparklooptest.DefaultOffer, Submission: submission, CapturedAt: time.Now().UTC().Truncate(time.Second)}
}

func buy(t *testing.T, s *shop, tracking sparkloop.Tracking, card string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://shop.example/buy", strings.NewReader("card="+card))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: "sparkloop_t", Value: tracking.Encode()})
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	return w.Code
}

// The queue's table is away when the order comes, for whatever reason.
func TestTheSavepointSavesTheOrderAndSourceTheConversion(t *testing.T) {
	t.Parallel()
	s, url := newShop(t)
	api := sparklooptest.NewServer(t)
	_, tracking := api.Click("", "")
	rename := func(from, to string) {
		_, err := s.pool.Exec(t.Context(), `ALTER TABLE `+outboxSchema+`.`+from+` RENAME TO `+to)
		require.NoError(t, err)
	}
	rename("river_job", "away")
	require.Equal(t, http.StatusOK, buy(t, s, tracking, "good"))
	rename("away", "river_job")
	_, found, err := s.queue.Lookup(t.Context(), tracking)
	require.NoError(t, err)
	require.False(t, found)

	worker, err := story.StartProcess(t.Context(), []string{
		"DATABASE_URL=" + url, "SPARKLOOP_API_KEY=" + sparklooptest.APIKey, "SPARKLOOP_BASE_URL=" + api.URL(),
	}, "worker")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, api.WaitConfirmed(ctx, tracking))
	require.NoError(t, worker.End())
	stats, err := s.queue.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, stats.Swept)
}

func TestSourceGoesByTheTimeOfPayment(t *testing.T) {
	t.Parallel()
	s, _ := newShop(t)
	now := time.Now()
	for submission, times := range map[string][2]any{
		"paid":           {now, nil},
		"paid_last_week": {now.AddDate(0, 0, -7), nil},
		"unpaid":         {nil, nil},
		"refunded":       {now, now},
	} {
		_, err := s.pool.Exec(t.Context(), `INSERT INTO `+shopSchema+`.orders (tracking, paid_at, refunded_at) VALUES ($1, $2, $3)`,
			tracked(submission), times[0], times[1])
		require.NoError(t, err)
	}
	require.Equal(t, http.StatusOK, buy(t, s, sparkloop.Tracking{}, "good"))
	since := func(at time.Time) (submissions []string) {
		all, err := trackings(s.pool)(t.Context(), at)
		require.NoError(t, err)
		for _, tracking := range all {
			submissions = append(submissions, tracking.Submission)
		}
		return submissions
	}
	assert.Equal(t, []string{"paid"}, since(now.Add(-time.Hour)))
	assert.ElementsMatch(t, []string{"paid", "paid_last_week"}, since(now.AddDate(0, 0, -45)))

	// An order of last week is paid today.
	_, err := s.pool.Exec(t.Context(), `UPDATE `+shopSchema+`.orders SET paid_at = now() WHERE paid_at IS NULL`)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"paid", "unpaid"}, since(now.Add(-time.Hour)))
}
