package delivery_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// memory is an in-memory shared state.
type memory struct {
	mu       sync.Mutex
	text     string
	revision int64
	ahead    time.Duration // of the real clock
	gone     error
}

func (m *memory) Load(ctx context.Context) (string, int64, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text, m.revision, time.Now().Add(m.ahead), errors.Join(m.gone, ctx.Err())
}

func (m *memory) Swap(ctx context.Context, revision int64, text string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.gone, ctx.Err()); err != nil || revision != m.revision {
		return false, err
	}
	m.text, m.revision = text, m.revision+1
	return true, nil
}

func (m *memory) shift(ahead time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead = ahead
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = err
}

// process is one process's policy on a row.
func process(t *testing.T, row delivery.SharedState, c *sparkloop.Client, o outbox.Options) *delivery.Policy {
	t.Helper()
	o, err := delivery.Complete(o)
	require.NoError(t, err)
	p, err := delivery.New(c, o, row)
	require.NoError(t, err)
	return p
}

// proven returns a client for which an address of the endpoint is proven.
func proven(t *testing.T, api *sparklooptest.Server, opts ...sparkloop.Option) *sparkloop.Client {
	t.Helper()
	c := api.Client(opts...)
	_, err := c.Conversions.Confirm(t.Context(), sparkloop.Tracking{Offer: "no", Submission: "none"})
	require.ErrorIs(t, err, sparkloop.ErrOfferNotFound)
	return c
}

// entry returns a conversion that was enqueued just now.
func entry(id int64, tracking sparkloop.Tracking) outbox.Entry {
	return outbox.Entry{ID: id, Tracking: tracking, State: outbox.Pending, EnqueuedAt: time.Now()}
}

// inMemory is a transport to the API without a socket.
func inMemory(api *sparklooptest.Server) *http.Client {
	return &http.Client{Transport: api.Transport()}
}

// only returns a Waiting of these conversions.
func only(waiting ...outbox.Entry) delivery.Waiting {
	return func(_ context.Context, f delivery.Filter) (picked []outbox.Entry, err error) {
		for _, e := range waiting {
			if f.Picks(e) {
				picked = append(picked, e)
			}
		}
		return picked, nil
	}
}

// deliver delivers a conversion, as the probe if one is due.
func deliver(ctx context.Context, t *testing.T, p *delivery.Policy, e outbox.Entry) delivery.Verdict {
	t.Helper()
	plan, err := p.Plan(ctx, only(e))
	if err != nil {
		return p.Deliver(ctx, e, nil)
	}
	return p.Deliver(ctx, e, plan.Probe)
}
