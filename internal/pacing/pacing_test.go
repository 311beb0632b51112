package pacing_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/pacing"
)

// mostInWindow is the largest number of times within any one window.
func mostInWindow(times []time.Time, window time.Duration) int {
	slices.SortFunc(times, time.Time.Compare)
	most, first := 0, 0
	for i := range times {
		for times[i].Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestNeverMoreThanNInAWindowAsTheServerCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n        int
		window   time.Duration
		requests int
		latency  time.Duration // the spread of the way to the server
		within   time.Duration
	}{
		{120, time.Minute, 1000, 250 * time.Millisecond, 489 * time.Second},
		{5, time.Second, 47, 250 * time.Millisecond, 12 * time.Second},
		{1, 100 * time.Millisecond, 20, 25 * time.Millisecond, 3 * time.Second},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := pacing.New(tt.n, tt.window)
				start := time.Now()
				var mu sync.Mutex
				var left, arrived []time.Time
				var wg sync.WaitGroup
				for range tt.requests {
					wg.Go(func() {
						if !assert.NoError(t, l.Wait(t.Context())) {
							return
						}
						now := time.Now()
						mu.Lock()
						defer mu.Unlock()
						left = append(left, now)
						arrived = append(arrived, now.Add(rand.N(tt.latency)))
					})
				}
				wg.Wait()
				took := time.Since(start)
				require.Len(t, left, tt.requests)
				slices.SortFunc(left, time.Time.Compare)
				assert.Equal(t, start, left[tt.n-1], "the first n go at once")
				assert.LessOrEqual(t, mostInWindow(arrived, tt.window), tt.n)
				assert.LessOrEqual(t, took, tt.within)
			})
		})
	}
}

func TestAWaitThatCannotEndInTimeFailsAtOnceAndTakesNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(1, time.Minute)
		require.NoError(t, l.Wait(t.Context()))
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		for range 10 {
			err := l.Wait(short)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "the next one is in 1m1s")
		}
		assert.Zero(t, time.Since(start))
		require.NoError(t, l.Wait(t.Context()))
		assert.Equal(t, 61*time.Second, time.Since(start))
	})
}

func TestACancelledWaitLeavesItsSlotToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(1, time.Minute)
		require.NoError(t, l.Wait(t.Context()))
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 5)
		for range cap(failed) {
			go func() { failed <- l.Wait(ctx) }()
		}
		synctest.Wait()
		cancel()
		for range cap(failed) {
			require.ErrorIs(t, <-failed, context.Canceled)
		}
		require.NoError(t, l.Wait(t.Context()))
		assert.Equal(t, 61*time.Second, time.Since(start), "not behind the five that left")
		require.NoError(t, l.Wait(t.Context()))
		assert.Equal(t, 122*time.Second, time.Since(start))

		assert.ErrorIs(t, l.Wait(ctx), context.Canceled, "a context that has ended gets no slot")
	})
}

func TestASlotGivenUpTooLongAgoIsNotUsedLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(1, time.Minute)
		require.NoError(t, l.Wait(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		require.ErrorIs(t, l.Wait(ctx), context.Canceled)
		time.Sleep(90 * time.Second) // past the slot at 61 s
		start := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		// The log still counts the slot that nobody used.
		assert.Equal(t, 31*time.Second, time.Since(start))
	})
}

func TestPauseHoldsEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(2, time.Minute)
		require.NoError(t, l.Wait(t.Context()))
		require.NoError(t, l.Wait(t.Context()))
		start := time.Now()
		times := make(chan time.Duration, 4)
		for range cap(times) {
			go func() {
				if assert.NoError(t, l.Wait(t.Context())) {
					times <- time.Since(start)
				}
			}()
		}
		synctest.Wait() // two wait for 61 s, two for 122 s
		require.NoError(t, l.Pause(t.Context(), 100*time.Second))
		require.NoError(t, l.Pause(t.Context(), time.Second), "a shorter one changes nothing")
		require.NoError(t, l.Pause(t.Context(), -time.Second))

		short, cancel := context.WithTimeout(t.Context(), 99*time.Second)
		defer cancel()
		require.ErrorIs(t, l.Wait(short), context.DeadlineExceeded)

		var sent []time.Time
		for range cap(times) {
			d := <-times
			assert.GreaterOrEqual(t, d, 100*time.Second)
			sent = append(sent, start.Add(d))
		}
		assert.LessOrEqual(t, mostInWindow(sent, time.Minute), 2)
	})
}

func TestADecisionAllocatesNothing(t *testing.T) {
	l := pacing.New(1_000_000, time.Minute)
	ctx := t.Context()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if l.Wait(ctx) != nil {
			t.Error("refused")
		}
	}))
}
