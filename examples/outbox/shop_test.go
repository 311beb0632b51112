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

func (full) Stats(context.Context) (outbox.Stats, error) { return outbox.Stats{}, errFull }

func newOrders(t *testing.T) *orders {
	t.Helper()
	orders, err := openOrders(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { orders.db.Close() })
	return orders
}

func buy(t *testing.T, orders *orders, tracking sparkloop.Tracking) int {
	t.Helper()
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	shop := &shop{orders: orders, queue: full{}, capture: keep, log: slog.New(slog.DiscardHandler)}
	r := httptest.NewRequest(http.MethodPost, "/buy", nil)
	r.AddCookie(&http.Cookie{Name: "sparkloop_t", Value: tracking.Encode()})
	w := httptest.NewRecorder()
	shop.handler().ServeHTTP(w, r)
	return w.Code
}

func TestAnOrderStandsWhateverComesOfItsConversion(t *testing.T) {
	t.Parallel()
	orders := newOrders(t)
	tracking := sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1", CapturedAt: time.Now().UTC().Truncate(time.Second)}
	assert.Equal(t, http.StatusOK, buy(t, orders, tracking))
	all, err := orders.trackings(t.Context(), time.Now().Add(-time.Minute))
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Tracking{tracking}, all, "for the sweep to find")

	require.NoError(t, orders.db.Close())
	assert.Equal(t, http.StatusInternalServerError, buy(t, orders, tracking))
	_, err = orders.trackings(t.Context(), time.Time{})
	require.Error(t, err)
}

func TestSourceLeavesOutWhatIsOldOrUntracked(t *testing.T) {
	t.Parallel()
	orders := newOrders(t)
	assert.Equal(t, http.StatusOK, buy(t, orders, sparkloop.Tracking{}))
	_, err := orders.place(t.Context(), "notebook", sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1"})
	require.NoError(t, err)
	all, err := orders.trackings(t.Context(), time.Now().Add(-time.Minute))
	require.NoError(t, err)
	assert.Len(t, all, 1)
	all, err = orders.trackings(t.Context(), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Empty(t, all)
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
		_, err = p.orders.place(ctx, "notebook", tracking)
		require.NoError(t, err)
		require.NoError(t, api.WaitConfirmed(ctx, tracking))
	}
	stats, err := p.queue.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, 2, stats.Swept)
}
