package delivery_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
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

// slow is a transport to the API that takes up to a quarter of a second.
type slow struct{ to http.RoundTripper }

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(rand.N(250 * time.Millisecond))
	return s.to.RoundTrip(r)
}

// send confirms as fast as the limit allows, with 4 workers per process, for a
// time. It returns the numbers of answers with 200 and with 429.
func send(t *testing.T, api *sparklooptest.Server, row *memory, processes int, span time.Duration) (yes, tooMany int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(span)
	for range processes {
		c := api.Client(sparkloop.WithRateLimit(120, time.Minute), sparkloop.WithHTTPClient(&http.Client{Transport: slow{api.Transport()}}))
		p := process(t, row, c, outbox.Options{})
		for range 4 {
			wg.Go(func() {
				for time.Now().Before(end) {
					_, tracking := api.Click("", "https://shop.example/")
					_, err := p.Client().Conversions.Confirm(t.Context(), tracking)
					var e *sparkloop.Error
					mu.Lock()
					switch {
					case err == nil:
						yes++
					case errors.As(err, &e) && e.StatusCode == http.StatusTooManyRequests:
						tooMany++
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	return yes, tooMany
}

func TestOneLimitForAllProcesses(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			api := sparklooptest.NewServer(t)
			const minutes = 30
			yes, tooMany := send(t, api, new(memory), processes, minutes*time.Minute)
			assert.Zero(t, tooMany)
			used := float64(yes) / (120 * minutes)
			assert.Greater(t, used, 0.95)
			t.Logf("%d processes: %d confirmations in %d minutes, %.1f %% of the limit, no 429", processes, yes, minutes, 100*used)
		})
	}
}

// After a kill and a restart, the processes find the row unchanged.
func TestARestartDoesNotOverrunTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		row := new(memory)
		for range 20 {
			_, tooMany := send(t, api, row, 2, 10*time.Second)
			assert.Zero(t, tooMany)
		}
	})
}

func TestA429HoldsEveryProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		row := new(memory)
		limited := api.Client(sparkloop.WithRateLimit(120, time.Minute))
		one, two := process(t, row, limited, outbox.Options{}), process(t, row, limited, outbox.Options{})
		_, first := api.Click("", "https://shop.example/")
		_, second := api.Click("", "https://shop.example/")

		api.Fail(sparklooptest.Status(429, `{"error":"Too many requests"}`, "Retry-After", "30"), 1)
		_, err := one.Client().Conversions.Confirm(t.Context(), first)
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = two.Client().Conversions.Confirm(ctx, second)
		require.NoError(t, err)
		assert.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestASlotThatWasReservedBeforeA429IsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(10, time.Minute)), outbox.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		api.Fail(sparklooptest.Delay(time.Second), 1)
		var trackings []sparkloop.Tracking
		for range 5 {
			_, tracking := api.Click("", "https://shop.example/")
			trackings = append(trackings, tracking)
		}
		var wg sync.WaitGroup
		for _, tracking := range trackings {
			wg.Go(func() {
				_, err := p.Client().Conversions.Confirm(ctx, tracking)
				if err != nil {
					assert.ErrorIs(t, err, sparkloop.ErrRateLimited)
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		api.Fail(sparklooptest.Status(429, "", "Retry-After", "50"), 1) // for the second
		wg.Wait()
		times := api.Requests()
		require.Len(t, times, 5)
		assert.GreaterOrEqual(t, times[2].Time.Sub(times[1].Time), 50*time.Second)
	})
}

// A delivery that waits for its slot sends nothing until a 429 of another delivery
// is over.
func TestADeliveryWaitsForTheEndOfA429(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		p := process(t, new(memory), proven(t, api, sparkloop.WithRetries(0), sparkloop.WithRateLimit(120, time.Minute),
			sparkloop.WithHTTPClient(&http.Client{Transport: slow{api.Transport()}})), outbox.Options{Logger: quiet})
		sent := len(api.Requests())
		api.Fail(sparklooptest.Status(429, "", "Retry-After", "30"), 1)
		verdicts := make(chan delivery.Verdict)
		for n := range int64(2) {
			_, tracking := api.Click("", "https://shop.example/")
			go func() { verdicts <- p.Deliver(t.Context(), entry(n, tracking), nil) }()
		}
		time.Sleep(29 * time.Second)
		assert.Len(t, api.Requests(), sent+1)
		first, second := <-verdicts, <-verdicts
		assert.True(t, first.Sent)
		assert.False(t, second.Sent)
	})
}

func TestASlotBeyondTheDeadlineIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(1, time.Minute)), outbox.Options{})
		_, tracking := api.Click("", "https://shop.example/")
		_, err := p.Client().Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
		start := time.Now()
		for range 100 {
			_, err = p.Client().Conversions.Confirm(t.Context(), tracking) // 10 s
			require.ErrorIs(t, err, sparkloop.ErrRateLimited)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		assert.Zero(t, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, err = p.Client().Conversions.Confirm(ctx, tracking)
		require.NoError(t, err)
		assert.Equal(t, 61*time.Second, time.Since(start))
	})
}

func TestACancelledWaitGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(1, time.Minute)), outbox.Options{})
		_, tracking := api.Click("", "https://shop.example/")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		_, err := p.Client().Conversions.Confirm(ctx, tracking)
		require.NoError(t, err)
		start := time.Now()
		gone, leave := context.WithCancel(ctx)
		go func() {
			time.Sleep(time.Second)
			leave()
		}()
		_, err = p.Client().Conversions.Confirm(gone, tracking)
		require.ErrorIs(t, err, context.Canceled)
		_, err = p.Client().Conversions.Confirm(ctx, tracking)
		require.NoError(t, err)
		assert.Equal(t, 61*time.Second, time.Since(start))
	})
}

// A process that starts after the clock was corrected cannot compute the rest of
// the hold.
func TestAClockThatWasAheadHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		row := &memory{ahead: 30 * 24 * time.Hour}
		c := api.Client(sparkloop.WithRateLimit(120, time.Minute))
		_, tracking := api.Click("", "https://shop.example/")
		api.Fail(sparklooptest.Status(429, "", "Retry-After", "50"), 1)
		_, err := process(t, row, c, outbox.Options{}).Client().Conversions.Confirm(t.Context(), tracking)
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		row.shift(0)
		_, err = process(t, row, c, outbox.Options{}).Client().Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
	})
}

func TestWithoutItsRowNothingIsSent(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	row := new(memory)
	row.fail(errors.New("disk on fire"))
	p := process(t, row, api.Client(sparkloop.WithRateLimit(120, time.Minute)), outbox.Options{})
	_, tracking := api.Click("", "https://shop.example/")
	_, err := p.Client().Conversions.Confirm(t.Context(), tracking)
	require.ErrorContains(t, err, "the queue's shared state: disk on fire")
	assert.True(t, sparkloop.Retryable(err))
	assert.False(t, deliver(t.Context(), t, p, entry(1, tracking)).Sent)
	assert.Empty(t, api.Requests())
}

func TestALimiterOfTheCallersStays(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	for name, option := range map[string]sparkloop.Option{
		"off": sparkloop.WithRateLimit(0, 0),
		"own": sparkloop.WithLimiter(unlimited{}),
	} {
		row := new(memory)
		row.fail(errors.New("not to be asked"))
		p := process(t, row, api.Client(option), outbox.Options{})
		_, tracking := api.Click("", "https://shop.example/")
		_, err := p.Client().Conversions.Confirm(t.Context(), tracking)
		assert.NoError(t, err, name)
	}
}

type unlimited struct{}

func (unlimited) Wait(context.Context) error                 { return nil }
func (unlimited) Pause(context.Context, time.Duration) error { return nil }

// If the clock is set, slots and holds move along: no process waits for the old
// time, and none sends early.
func TestAClockThatIsSetMovesSlotsAndHolds(t *testing.T) {
	t.Parallel()
	const hold = 50 * time.Second
	for _, jump := range []time.Duration{-10 * time.Minute, -20 * time.Second, 20 * time.Second, 10 * time.Minute} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := sparklooptest.NewServer(t)
				row := new(memory)
				c := api.Client(sparkloop.WithRateLimit(120, time.Minute))
				one, two := process(t, row, c, outbox.Options{}), process(t, row, c, outbox.Options{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				confirm := func(p *delivery.Policy) (time.Duration, error) {
					_, tracking := api.Click("", "https://shop.example/")
					start := time.Now()
					_, err := p.Client().Conversions.Confirm(ctx, tracking)
					return time.Since(start), err
				}
				for range 4 {
					confirm(one) //nolint:errcheck // it takes a slot
					_, err := confirm(two)
					require.NoError(t, err)
					row.shift(row.ahead + jump)
					for _, p := range []*delivery.Policy{one, two} {
						took, err := confirm(p)
						require.NoError(t, err)
						assert.InDelta(t, 508*time.Millisecond, took, float64(10*time.Millisecond))
					}
				}
				api.Fail(sparklooptest.Status(429, "", "Retry-After", "50"), 1)
				_, err := confirm(one)
				require.ErrorIs(t, err, sparkloop.ErrRateLimited)
				row.shift(row.ahead + jump)
				took, err := confirm(one)
				require.NoError(t, err)
				assert.Equal(t, hold, took)
			})
		})
	}
}

// back is a transport to the API that sets the clock back.
type back struct {
	to  http.RoundTripper
	row *memory
}

func (b back) RoundTrip(r *http.Request) (*http.Response, error) {
	b.row.shift(-5 * time.Minute)
	return b.to.RoundTrip(r)
}

func TestA429AfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		row := new(memory)
		c := api.Client(sparkloop.WithRateLimit(120, time.Minute), sparkloop.WithHTTPClient(&http.Client{Transport: back{api.Transport(), row}}))
		p := process(t, row, c, outbox.Options{})
		_, tracking := api.Click("", "https://shop.example/")
		api.Fail(sparklooptest.Status(429, "", "Retry-After", "5"), 1)
		_, err := p.Client().Conversions.Confirm(t.Context(), tracking)
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		start := time.Now()
		_, err = p.Client().Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

// Reserved slots beyond the hold are not reserved again.
func TestA429GivesNoSlotOutTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(120, time.Minute)), outbox.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		confirm := func(n int) {
			for range n {
				_, tracking := api.Click("", "https://shop.example/")
				wg.Go(func() { p.Client().Conversions.Confirm(ctx, tracking) }) //nolint:errcheck // one gets the 429
			}
		}
		confirm(100)
		time.Sleep(5 * time.Second)
		api.Fail(sparklooptest.Status(429, "", "Retry-After", "1"), 1)
		time.Sleep(2 * time.Second)
		confirm(100)
		wg.Wait()
		requests := api.Requests()
		require.Len(t, requests, 200)
		for i := range requests[120:] {
			assert.GreaterOrEqual(t, requests[i+120].Time.Sub(requests[i].Time), time.Minute)
		}
	})
}

// With many waiting requests, the next free slot is 13 minutes ahead. The limiter
// must not take this for a wrong clock.
func TestManyWaitForTheirSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		row := new(memory)
		limited := api.Client(sparkloop.WithRateLimit(120, time.Minute), sparkloop.WithTimeout(time.Hour))
		one, two := process(t, row, limited, outbox.Options{Logger: quiet}), process(t, row, limited, outbox.Options{Logger: quiet})
		start := time.Now()
		const all = 1600
		var calls sync.WaitGroup
		for i := range all {
			c := one.Client()
			if i%2 == 0 {
				c = two.Client()
			}
			_, tracking := api.Click("", "https://shop.example/")
			calls.Go(func() {
				_, err := c.Conversions.Confirm(t.Context(), tracking)
				assert.NoError(t, err)
			})
		}
		calls.Wait()
		assert.Len(t, api.Requests(), all, "no 429")
		assert.Less(t, time.Since(start), all*510*time.Millisecond)
	})
}
