package riveroutbox

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestCloseWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	api.Fail(sparklooptest.Delay(300*time.Millisecond), -1)
	box := openBox(t, pool, api.Client(), quick())
	tracking := click(api)
	require.NoError(t, box.Enqueue(t.Context(), tracking))
	isRunning(t, box)
	require.NoError(t, box.Close(t.Context()))
	reaches(t, box, tracking, outbox.Confirmed)

	require.NoError(t, box.Close(t.Context()), "twice is harmless")
	later := click(api)
	require.NoError(t, box.Enqueue(t.Context(), later))
	s, err := box.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, s.Pending)
}

// isRunning waits until a worker has a job.
func isRunning(t *testing.T, box *Outbox) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, 1, one[int](c, box.db.pool, `SELECT count(*) FROM {schema}.river_job WHERE state = 'running'`))
	}, soonEnough, time.Millisecond)
}

func TestCloseBreaksOffWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	way := hanging{make(chan struct{})}
	box, err := Open(t.Context(), pool, api.Client(sparkloop.WithHTTPClient(&http.Client{Transport: way})), quick())
	require.NoError(t, err)
	tracking := click(api)
	require.NoError(t, box.Enqueue(t.Context(), tracking))
	select {
	case <-way.began:
	case <-time.After(soonEnough):
		require.Fail(t, "it is never sent")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = box.Close(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "sparkloop outbox: close: ")
	assert.Less(t, time.Since(began), breakOff)
	e := reaches(t, box, tracking, outbox.Pending)
	assert.Zero(t, e.Attempts, "the answer of the canceled call is unknown")
	assert.Zero(t, one[int](t, pool, `SELECT count(*) FROM {schema}.river_job WHERE state <> 'available' OR scheduled_at > now()`), "given back, due at once")
	require.NoError(t, box.Close(t.Context()))

	next := openBox(t, pool, api.Client(), quick())
	reaches(t, next, tracking, outbox.Confirmed)
}

// hanging is a transport that never answers.
type hanging struct{ began chan struct{} }

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	close(h.began)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestCloseWhilePaused closes a paused queue whose workers hold jobs. They give the
// jobs back.
func TestCloseWhilePaused(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	api.Fail(sparklooptest.Status(503, ""), -1)
	paused := make(chan error, 1)
	box := openBox(t, pool, api.Client(), quick(func(o *Options) {
		o.RetryMax = time.Hour
		o.RetryMin = time.Minute
		o.OnPaused = func(err error) { paused <- err }
	}))
	for range 6 {
		require.NoError(t, box.Enqueue(t.Context(), click(api)))
	}
	select {
	case err := <-paused:
		assert.ErrorContains(t, err, "503")
	case <-time.After(soonEnough):
		require.Fail(t, "it is never paused")
	}
	began := time.Now()
	require.NoError(t, box.Close(t.Context()))
	assert.Less(t, time.Since(began), holdMax/2)
	assert.Zero(t, one[int](t, pool, `SELECT count(*) FROM {schema}.river_job WHERE state = 'running'`))
}

func TestCloseOfAQueueThatEnqueuesOnly(t *testing.T) {
	t.Parallel()
	box := openBox(t, newPool(t), newAPI(t).Client(), quick(enqueueOnly))
	require.NoError(t, box.Close(t.Context()))
	require.NoError(t, box.Close(t.Context()))
}
