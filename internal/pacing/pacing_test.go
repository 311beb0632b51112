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

func TestASlotThatNobodyUsedIsStillThere(t *testing.T) {
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
		time.Sleep(90 * time.Second) // past the turn at 61 s
		start := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		assert.Zero(t, time.Since(start))
	})
}

func TestThoseBehindMoveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(1, time.Minute)
		require.NoError(t, l.Wait(t.Context()))
		start := time.Now()
		first, cancel := context.WithCancel(t.Context())
		go l.Wait(first) //nolint:errcheck // it leaves
		synctest.Wait()
		second := make(chan time.Duration)
		go func() {
			assert.NoError(t, l.Wait(t.Context()))
			second <- time.Since(start)
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		cancel()
		assert.Equal(t, 61*time.Second, <-second)
	})
}

// A pause costs its own time and no more, keeps the order, and ends at once the
// waits that can no longer make it.
func TestAPauseKeepsTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(2, 8*time.Second) // over 9 s
		start := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		require.NoError(t, l.Wait(t.Context()))
		hurried, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		failed := make(chan time.Duration, 1)
		went := make([]time.Duration, 5)
		var wg sync.WaitGroup
		for n := range went {
			wg.Go(func() {
				assert.NoError(t, l.Wait(t.Context()))
				went[n] = time.Since(start)
			})
			synctest.Wait()
			if n == 0 {
				go func() {
					assert.ErrorIs(t, l.Wait(hurried), context.DeadlineExceeded)
					failed <- time.Since(start)
				}()
				synctest.Wait()
			}
		}
		time.Sleep(7 * time.Second)
		require.NoError(t, l.Pause(t.Context(), 4*time.Second)) // until 11 s, over the turn at 9 s
		assert.Equal(t, 7*time.Second, <-failed)
		wg.Wait()
		assert.Equal(t, []time.Duration{11 * time.Second, 11 * time.Second, 20 * time.Second, 20 * time.Second, 29 * time.Second}, went)
	})
}

// Random comings, leavings and pauses: never more than n in a window, nobody
// during a pause, and the line is always served.
func TestAnyInterleaving(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 1))
				n, window := 1+r.IntN(6), time.Duration(1+r.IntN(8))*time.Second
				l := pacing.New(n, window)
				var mu sync.Mutex
				var went []time.Time
				var quiet time.Time
				var wg sync.WaitGroup
				for range 80 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(600))*time.Second)
					leave := r.IntN(4) == 0
					wg.Go(func() {
						defer cancel()
						if l.Wait(ctx) != nil {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						assert.False(t, time.Now().Before(quiet), "during a pause")
						went = append(went, time.Now())
					})
					time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
					if leave {
						cancel()
					}
					if r.IntN(15) == 0 {
						d := time.Duration(r.IntN(20)) * time.Second
						mu.Lock()
						if until := time.Now().Add(d); until.After(quiet) {
							quiet = until
						}
						mu.Unlock()
						require.NoError(t, l.Pause(t.Context(), d))
					}
				}
				wg.Wait()
				assert.LessOrEqual(t, mostInWindow(went, window), n)
				start := time.Now()
				require.NoError(t, l.Wait(t.Context()))
				assert.LessOrEqual(t, time.Since(start), window+max(0, time.Until(quiet))+time.Second)
			})
		})
	}
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

// Who comes in the moment in which a turn is due does not overtake those in line.
func TestNobodyOvertakes(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			l := pacing.New(1, time.Minute)
			require.NoError(t, l.Wait(t.Context()))
			start := time.Now()
			var wg sync.WaitGroup
			for range 50 { // newcomers, at the very time of the next turn
				wg.Go(func() {
					time.Sleep(61 * time.Second)
					assert.NoError(t, l.Wait(t.Context()))
				})
			}
			synctest.Wait()
			for place := 1; place <= 3; place++ {
				wg.Go(func() {
					assert.NoError(t, l.Wait(t.Context()))
					assert.Equal(t, time.Duration(place)*61*time.Second, time.Since(start))
				})
				synctest.Wait()
			}
			wg.Wait()
			assert.Equal(t, 53*61*time.Second, time.Since(start))
		})
	}
}

// Each one in line has the turn of the request that is n departures before.
func TestTurnsFollowTheDepartures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(3, time.Minute)
		start := time.Now()
		for _, at := range []time.Duration{0, 10 * time.Second, 25 * time.Second, 61 * time.Second} {
			time.Sleep(at - time.Since(start))
			require.NoError(t, l.Wait(t.Context()))
			assert.Equal(t, at, time.Since(start), "free at once")
		}
		var wg sync.WaitGroup
		for _, seconds := range []int{71, 86, 122, 132, 147, 183, 193} {
			at := time.Duration(seconds) * time.Second
			wg.Go(func() {
				assert.NoError(t, l.Wait(t.Context()))
				assert.Equal(t, at, time.Since(start))
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}
