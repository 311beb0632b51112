package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// full is a queue whose disk is.
type full struct{ outbox.Queue }

var errFull = errors.New("the disk is full")

func (full) Enqueue(context.Context, sparkloop.Tracking) error { return errFull }

func (full) Lookup(context.Context, sparkloop.Tracking) (outbox.Entry, bool, error) {
	return outbox.Entry{}, false, errFull
}

func (full) Stats(context.Context) (outbox.Stats, error) { return outbox.Stats{}, errFull }

// newShop has an empty database and a full disk.
func newShop(t *testing.T) *shop {
	t.Helper()
	p, err := open(t.Context(), t.TempDir(), sparklooptest.NewServer(t).Client(), "p", outbox.Options{
		Workers: -1, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { p.close(context.Background()) }) //nolint:errcheck // closed by then, in one test
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	return &shop{db: p.db, queue: full{}, capture: keep, log: slog.New(slog.DiscardHandler)}
}

func buy(shop *shop, tracking sparkloop.Tracking) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://shop.example/buy", nil)
	r.AddCookie(&http.Cookie{Name: "sparkloop_t", Value: tracking.Encode()})
	w := httptest.NewRecorder()
	shop.handler().ServeHTTP(w, r)
	return w
}

func click(submission string) sparkloop.Tracking {
	return sparkloop.Tracking{Offer: "offer_1", Submission: submission, CapturedAt: time.Now().UTC().Truncate(time.Second)}
}

func TestAnOrderStandsWhateverComesOfItsConversion(t *testing.T) {
	t.Parallel()
	shop, tracking := newShop(t), click("submission_1")
	assert.Equal(t, http.StatusOK, buy(shop, tracking).Code)
	all, err := shop.trackings(t.Context(), time.Now().Add(-time.Minute))
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Tracking{tracking}, all, "for the sweep to find")

	require.NoError(t, shop.db.Close())
	assert.Equal(t, http.StatusInternalServerError, buy(shop, tracking).Code)
	_, err = shop.trackings(t.Context(), time.Time{})
	require.Error(t, err)
}

func TestSourceGoesByTheTimeOfPayment(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	assert.Equal(t, http.StatusOK, buy(shop, sparkloop.Tracking{}).Code)
	now := time.Now()
	paid := func(days int) any { return now.AddDate(0, 0, -days).UnixMilli() }
	for submission, times := range map[string][2]any{
		"paid":           {paid(0), nil},
		"paid_last_week": {paid(7), nil},
		"unpaid":         {nil, nil},
		"refunded":       {paid(0), paid(0)},
		"old_refunded":   {paid(7), paid(0)},
	} {
		_, err := shop.db.ExecContext(t.Context(), `INSERT INTO orders (item, tracking, paid_at, refunded_at) VALUES ('notebook', ?, ?, ?)`,
			click(submission), times[0], times[1])
		require.NoError(t, err)
	}
	since := func(at time.Time) (submissions []string) {
		all, err := shop.trackings(t.Context(), at)
		require.NoError(t, err)
		for _, tracking := range all {
			submissions = append(submissions, tracking.Submission)
		}
		return submissions
	}
	assert.Equal(t, []string{"paid"}, since(now.Add(-time.Hour)))
	assert.ElementsMatch(t, []string{"paid", "paid_last_week"}, since(now.AddDate(0, 0, -45)))
	assert.Empty(t, since(now.Add(time.Hour)))

	// An order of last week is paid today.
	_, err := shop.db.ExecContext(t.Context(), `UPDATE orders SET paid_at = ? WHERE paid_at IS NULL`, now.UnixMilli())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"paid", "unpaid"}, since(now.Add(-time.Hour)))
}

// Two purchases, of which the first one's cookie was not cleared.
func TestASecondSaleIsNotHidden(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	p, err := open(t.Context(), t.TempDir(), api.Client(), "p", outbox.Options{Workers: -1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer p.close(context.Background()) //nolint:errcheck // a test's
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	shop := &shop{db: p.db, queue: p.queue, capture: keep, log: slog.New(slog.DiscardHandler)}
	first := click("first")
	second := first
	second.Offer, second.Submission = "offer_2", "second"
	require.NoError(t, p.queue.Enqueue(t.Context(), first))
	r := httptest.NewRequest(http.MethodPost, "https://shop.example/buy", nil)
	r.AddCookie(&http.Cookie{Name: "sparkloop_t", Value: first.Encode() + "~" + second.Encode()})
	shop.handler().ServeHTTP(httptest.NewRecorder(), r)
	all, err := shop.trackings(t.Context(), time.Time{})
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Tracking{second}, all)
}

func TestMetricsOfAQueueThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.SetBasicAuth("admin", "p")
	w := httptest.NewRecorder()
	signedIn("p", metrics(full{})).ServeHTTP(w, r)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "sparkloop_outbox_up 0")

	w = httptest.NewRecorder()
	signedIn("", metrics(full{})).ServeHTTP(w, r)
	assert.Equal(t, http.StatusUnauthorized, w.Code, "an empty password lets nobody in")
}

// A worker process on its own: nobody calls Enqueue.
func TestSourceAloneIsEnough(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	p, err := open(t.Context(), t.TempDir(), api.Client(), "p", outbox.Options{
		SourceEvery: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	defer p.close(context.Background()) //nolint:errcheck // a test's
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 {
		_, tracking := api.Click("", "")
		_, err = place(ctx, p.db, "notebook", tracking)
		require.NoError(t, err)
		require.NoError(t, api.WaitConfirmed(ctx, tracking))
	}
	stats, err := p.queue.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, 2, stats.Swept)
}
