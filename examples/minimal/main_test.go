package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func newCapture(t *testing.T) *capture.Capture {
	t.Helper()
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	return keep
}

func TestALandingAndAPurchase(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	quick := outbox.Options{RetryMin: 10 * time.Millisecond}
	queue, err := sqliteoutbox.Open(t.Context(), filepath.Join(t.TempDir(), "sparkloop.db"), api.Client(), quick)
	require.NoError(t, err)
	defer queue.Close(context.Background())
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	require.NoError(t, err)
	shop := site(queue, keep)
	landing, tracking := api.Click("", "https://shop.example/welcome?utm_source=news")
	api.Fail(sparklooptest.LostAnswer(), 1) // at the worst moment

	page := httptest.NewRecorder()
	shop.ServeHTTP(page, httptest.NewRequest(http.MethodGet, landing, nil))
	r := httptest.NewRequest(http.MethodPost, "/buy", nil)
	r.Header.Set("Cookie", page.Header().Get("Set-Cookie"))
	bought := httptest.NewRecorder()
	shop.ServeHTTP(bought, r)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, api.WaitConfirmed(ctx, tracking))
	assert.Equal(t, "Welcome!\n", page.Body.String())
	require.Len(t, bought.Result().Cookies(), 1)
	assert.NotContains(t, bought.Header().Get("Set-Cookie"), tracking.Submission, "so that the next click counts")
}

func buy(t *testing.T, queue outbox.Queue, cookie string) http.Header {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://shop.example/buy", nil)
	r.Header.Set("Cookie", cookie)
	w := httptest.NewRecorder()
	site(queue, newCapture(t)).ServeHTTP(w, r)
	return w.Header()
}

func TestOtherVisitors(t *testing.T) {
	t.Parallel()
	var queue programtest.Queue
	for _, cookie := range []string{"", "sparkloop_t=broken", "sparkloop_t=v1.../..s.1"} {
		assert.Empty(t, buy(t, &queue, cookie))
	}
	assert.Empty(t, queue.Keys())
}

func TestWhatIsNotStoredIsKept(t *testing.T) {
	t.Parallel()
	tracking := sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1", CapturedAt: time.Now()}
	var queue programtest.Queue
	queue.FailEnqueue(errors.New("the disk is full"))
	header := buy(t, &queue, "sparkloop_t="+tracking.Encode())
	assert.Empty(t, queue.Keys())
	assert.Empty(t, header["Set-Cookie"])
}

// The first purchase left its click in the cookie, because the page was closed
// before the answer arrived.
func TestAClickThatWasConfirmedHidesNoSale(t *testing.T) {
	t.Parallel()
	spent := sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1", CapturedAt: time.Now()}
	next := sparkloop.Tracking{Offer: "offer_2", Submission: "submission_2", CapturedAt: time.Now().Add(-time.Hour)}
	var queue programtest.Queue
	require.NoError(t, queue.Enqueue(t.Context(), spent))
	cookie := "sparkloop_t=" + spent.Encode() + "~" + next.Encode()
	assert.NotEmpty(t, buy(t, &queue, cookie)["Set-Cookie"])
	assert.Equal(t, []string{spent.Key(), next.Key()}, queue.Keys())
}
