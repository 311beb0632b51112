package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// dispatch delivers from an endless queue with 4 workers, as the engines do. It
// returns the number of failed attempts.
func dispatch(ctx context.Context, t *testing.T, api *sparklooptest.Server, p *delivery.Policy) (failed int64) {
	t.Helper()
	var failures atomic.Int64
	var workers sync.WaitGroup
	defer workers.Wait()
	free := make(chan struct{}, 4)
	for ctx.Err() == nil {
		free <- struct{}{}
		plan, err := p.Plan(ctx, only())
		if err != nil || plan.Wait > 0 {
			<-free
			select {
			case <-time.After(min(plan.Wait, time.Second)):
			case <-ctx.Done():
			}
			continue
		}
		workers.Go(func() {
			defer func() { <-free }()
			_, tracking := api.Click("", "https://shop.example/")
			v := p.Deliver(ctx, entry(1, tracking), nil)
			if v.Sent && v.Entry.State != outbox.Confirmed {
				failures.Add(1)
			}
		})
	}
	return failures.Load()
}

// Any number of processes use at least 95 % of any limit. Waiting for a slot is
// neither a failure nor a pause.
func TestEveryLimitIsUsed(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 3, 6, 10, 20, 120} {
		for _, processes := range []int{1, 10, 16} {
			t.Run(fmt.Sprintf("%d a minute, %d processes", limit, processes), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(limit, time.Minute))
					ctx, cancel := context.WithCancel(t.Context())
					row := new(memory)
					var all sync.WaitGroup
					for range processes {
						c := api.Client(sparkloop.WithRateLimit(limit, time.Minute), sparkloop.WithHTTPClient(&http.Client{Transport: slow{api.Transport()}}))
						p := process(t, row, c, outbox.Options{Logger: quiet, OnPaused: func(err error) { assert.NoError(t, err) }})
						all.Go(func() { assert.Zero(t, dispatch(ctx, t, api, p)) })
					}
					minutes := max(6, 40/limit)
					time.Sleep(time.Duration(minutes) * time.Minute)
					cancel()
					all.Wait()
					sent := len(api.Requests())
					require.GreaterOrEqual(t, float64(sent), 0.95*float64(limit*minutes))
					t.Logf("%d of %d, %.1f %%", sent, limit*minutes, 100*float64(sent)/float64(limit*minutes))
				})
			})
		}
	}
}

// The server serves only the last form of the endpoint's address. Three requests
// of the first call find no conversion.
func TestASearchAtALowLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		c := api.Client(sparkloop.WithRateLimit(1, time.Minute))
		p := process(t, new(memory), c, outbox.Options{Logger: quiet})
		api.Fail(sparklooptest.Status(404, "<html>"), 1)
		_, tracking := api.Click("", "https://shop.example/")
		start := time.Now()
		v := p.Deliver(t.Context(), entry(1, tracking), nil)
		assert.Equal(t, outbox.Confirmed, v.Entry.State, v.Entry.Reason)
		assert.Equal(t, 61*time.Second, time.Since(start))
		assert.Less(t, time.Since(start), p.Lease())
	})
}

// A call ends 20 s after its slot, not 20 s after it began to wait for the slot.
func TestAWaitForASlotTakesNothingFromTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(6, time.Minute)), outbox.Options{Logger: quiet})
		for n := range 3 {
			api.Fail(sparklooptest.Delay(19*time.Second), 1)
			_, tracking := api.Click("", "https://shop.example/")
			e := entry(int64(n), tracking)
			for {
				v := p.Deliver(t.Context(), e, nil)
				if v.Sent {
					assert.Equal(t, outbox.Confirmed, v.Entry.State, v.Entry.Reason)
					break
				}
			}
		}
		api.Fail(sparklooptest.Delay(21*time.Second), 1)
		_, tracking := api.Click("", "https://shop.example/")
		start := time.Now()
		v := p.Deliver(t.Context(), entry(9, tracking), nil)
		assert.Equal(t, outbox.Pending, v.Entry.State)
		assert.Contains(t, v.Entry.Reason, "deadline exceeded")
		assert.LessOrEqual(t, time.Since(start), p.Lease())
	})
}

// The first of two requests takes 12 s, so the second has 8 s.
func TestTheRequestsOfACallShareItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"))
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(6, time.Minute)), outbox.Options{Logger: quiet})
		api.Fail(sparklooptest.Delay(12*time.Second), 1)
		api.Fail(sparklooptest.Delay(15*time.Second), 1)
		_, tracking := api.Click("", "https://shop.example/")
		start := time.Now()
		v := p.Deliver(t.Context(), entry(1, tracking), nil)
		assert.Equal(t, outbox.Pending, v.Entry.State)
		assert.Contains(t, v.Entry.Reason, "deadline exceeded")
		assert.Equal(t, 20*time.Second, time.Since(start))
	})
}

// contended is a shared state that is as slow as a database.
type contended struct {
	*memory
	lost atomic.Int64 // failed swaps: another process was faster
}

func (c *contended) Load(ctx context.Context) (string, int64, time.Time, error) {
	time.Sleep(2 * time.Millisecond)
	return c.memory.Load(ctx)
}

func (c *contended) Swap(ctx context.Context, revision int64, text string) (bool, error) {
	time.Sleep(2 * time.Millisecond)
	swapped, err := c.memory.Swap(ctx, revision, text)
	if !swapped {
		c.lost.Add(1)
	}
	return swapped, err
}

// Waiting processes try to take the next slot at different moments.
func TestProcessesDoNotRaceForASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		row := &contended{memory: new(memory)}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 16 {
			p := process(t, row, api.Client(sparkloop.WithRateLimit(120, time.Minute)), outbox.Options{Logger: quiet})
			all.Go(func() { assert.Zero(t, dispatch(ctx, t, api, p)) })
		}
		time.Sleep(5 * time.Minute)
		cancel()
		all.Wait()
		sent := len(api.Requests())
		assert.Greater(t, sent, 95*5*120/100)
		assert.Less(t, row.lost.Load(), int64(sent/2), "of %d", sent)
	})
}
