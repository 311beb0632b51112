package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// keeper is an in-memory engine.
type keeper struct {
	mu     sync.Mutex
	known  []string
	swept  []string
	lane   int
	tidied [][2]time.Time
	err    error
}

func (k *keeper) Missing(_ context.Context, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ts), func(t sparkloop.Tracking) bool { return slices.Contains(k.known, t.Key()) }), k.err
}

func (k *keeper) Sweep(_ context.Context, ts []sparkloop.Tracking, lane int) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lane = lane
	for _, t := range ts {
		k.known, k.swept = append(k.known, t.Key()), append(k.swept, t.Key())
	}
	return len(ts), k.err
}

func (k *keeper) Tidy(_ context.Context, confirmedBefore, horizon time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tidied = append(k.tidied, [2]time.Time{confirmedBefore, horizon})
	return k.err
}

func (k *keeper) enqueue(t sparkloop.Tracking) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = append(k.known, t.Key())
}

func (k *keeper) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// source holds a merchant's orders.
type source struct {
	mu     sync.Mutex
	orders []sparkloop.Tracking
	since  []time.Duration // how long ago
	fail   func() error
}

func (s *source) ask(_ context.Context, since time.Time) ([]sparkloop.Tracking, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = append(s.since, time.Since(since).Round(time.Second))
	if s.fail != nil {
		return nil, s.fail()
	}
	return s.orders, nil
}

func (s *source) breaks(fail func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *source) has(orders ...sparkloop.Tracking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, orders...)
}

func (s *source) asked() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.since)
}

func order(n int) sparkloop.Tracking {
	return sparkloop.Tracking{Offer: "offer_x", Submission: fmt.Sprint("submission_", n)}
}

// background runs a process's Background until the test ends.
func background(t *testing.T, row delivery.SharedState, k *keeper, o outbox.Options) {
	t.Helper()
	p := process(t, row, sparklooptest.NewServer(t).Client(), o)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Background(ctx, k) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// pass lets time pass, and waits until all work due by then is done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTheSourceIsSwept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		k := new(keeper)
		s := &source{orders: []sparkloop.Tracking{order(1), {}, order(2), {Offer: "../.."}, order(2), order(3)}}
		k.enqueue(order(1))
		background(t, new(memory), k, outbox.Options{Source: s.ask, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pass(500 * time.Millisecond)
		k.enqueue(order(3)) // the handler enqueues it within settle
		pass(time.Second)
		assert.Equal(t, []string{order(2).Key()}, k.swept)
		assert.Equal(t, delivery.LaneFresh, k.lane)
		assert.Contains(t, log.String(), `msg="sparkloop outbox: the source had conversions that were not enqueued" swept=1`)
		assert.Contains(t, log.String(), `invalid=1`)
		assert.Equal(t, []sparkloop.Tracking{order(1), {}, order(2), {Offer: "../.."}, order(2), order(3)}, s.orders, "the caller's slice is unchanged")

		for n := range 2000 {
			s.has(order(10 + n))
		}
		pass(time.Hour + 2*time.Second)
		assert.Len(t, k.swept, 2001)
		assert.Equal(t, delivery.LaneBacklog, k.lane)

		for n := range 500 {
			s.has(order(3000 + n))
		}
		pass(2 * time.Hour)
		assert.Len(t, k.swept, 2501)
		assert.Equal(t, delivery.LaneFresh, k.lane, "one call of the engine is no backlog")
		assert.Equal(t, 3, strings.Count(log.String(), "were not enqueued"), "the last sweep has none")
	})
}

func TestSinceWhenTheSourceIsAsked(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		background(t, new(memory), new(keeper), outbox.Options{Source: s.ask, Logger: quiet})
		pass(150 * time.Minute)
		assert.Equal(t, []time.Duration{45 * day, 25 * time.Hour, 25 * time.Hour}, s.asked())
	})
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		background(t, new(memory), new(keeper), outbox.Options{Source: s.ask, SourceEvery: 6 * time.Hour, Keep: 2 * day, Logger: quiet})
		pass(7 * time.Hour)
		assert.Equal(t, []time.Duration{day, day}, s.asked(), "never before Keep")
	})
}

func TestProcessesShareTheSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row, s := new(memory), new(source)
		for range 4 {
			background(t, row, new(keeper), outbox.Options{Source: s.ask, Logger: quiet})
			pass(time.Second)
		}
		assert.Len(t, s.asked(), 4, "each process at Open")
		pass(10*time.Hour + time.Minute)
		assert.Len(t, s.asked(), 4+10)
	})
}

func TestASourceThatFailsIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		k := new(keeper)
		s := &source{orders: []sparkloop.Tracking{order(1)}, fail: func() error { return errors.New("no connection") }}
		background(t, new(memory), k, outbox.Options{Source: s.ask, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pass(59 * time.Second)
		assert.Len(t, s.asked(), 1)
		pass(time.Second)
		assert.Len(t, s.asked(), 2, "after a minute")
		pass(30 * time.Second)
		s.breaks(func() error { panic("a nil map") })
		pass(time.Minute)
		s.breaks(nil)
		pass(time.Minute)
		assert.Len(t, s.asked(), 4)
		assert.Equal(t, []string{order(1).Key()}, k.swept)
		assert.Contains(t, log.String(), "no connection")
		assert.Contains(t, log.String(), "the source panicked: a nil map")
	})
}

func TestASourceThatNeverReturnsIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		k := new(keeper)
		ended := make(chan struct{})
		source := func(context.Context, time.Time) ([]sparkloop.Tracking, error) { // it ignores its context
			<-ended
			return nil, nil
		}
		background(t, new(memory), k, outbox.Options{Source: source, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pass(3 * time.Hour)
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		assert.Contains(t, log.String(), `the source has not returned" after=1m0s`)
		k.mu.Lock()
		assert.Greater(t, len(k.tidied), 170, "it still tidies up")
		k.mu.Unlock()
		close(ended)
		pass(2 * time.Second)
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
	})
}

func TestADatabaseThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		row, k := new(memory), &keeper{err: errors.New("disk on fire")}
		s := &source{orders: []sparkloop.Tracking{order(1)}}
		background(t, row, k, outbox.Options{Source: s.ask, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pass(90 * time.Second)
		assert.Len(t, s.asked(), 2)
		assert.Equal(t, 2, strings.Count(log.String(), `msg="sparkloop outbox: could not tidy up" error="disk on fire"`))
		k.fail(nil)
		row.fail(errors.New("disk on fire"))
		pass(time.Minute)
		assert.Equal(t, []string{order(1).Key()}, k.swept)
		row.fail(nil)
		pass(2 * time.Minute)
		assert.Len(t, s.asked(), 4, "until a sweep is noted")
	})
}

func TestTidyingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := new(keeper)
		background(t, new(memory), k, outbox.Options{Keep: 10 * 24 * time.Hour, RetryMax: 2 * time.Hour, Logger: quiet})
		start := time.Now()
		pass(150 * time.Second)
		require.Len(t, k.tidied, 3)
		assert.Equal(t, [2]time.Time{start.AddDate(0, 0, -10), start.Add(2*time.Hour + time.Minute)}, k.tidied[0])
	})
}

// The time is that of the shared clock, also while the database fails.
func TestTheClockOfTheChores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row, k := new(memory), new(keeper)
		row.shift(time.Hour)
		background(t, row, k, outbox.Options{Keep: 10 * 24 * time.Hour, Logger: quiet})
		start := time.Now()
		pass(time.Second)
		require.Len(t, k.tidied, 1)
		assert.Equal(t, start.Add(time.Hour).AddDate(0, 0, -10), k.tidied[0][0])
		row.fail(errors.New("disk on fire"))
		pass(time.Minute)
		require.Len(t, k.tidied, 2)
		assert.WithinDuration(t, start.Add(time.Hour).AddDate(0, 0, -10), k.tidied[1][0], time.Minute)
	})
}

// The clock was set back while no process ran. The first Tidy makes due what the old
// clock has put off.
func TestAClockThatWasSetBackBefore(t *testing.T) {
	t.Parallel()
	for back, horizon := range map[time.Duration]time.Duration{
		5 * time.Second: time.Hour + time.Minute, 6 * time.Second: 33 * time.Second, 24 * time.Hour: 33 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			row := new(memory)
			row.shift(back)
			background(t, row, new(keeper), outbox.Options{Logger: quiet})
			pass(0)
			row.shift(0)
			k := new(keeper)
			background(t, row, k, outbox.Options{Logger: quiet})
			pass(0)
			require.Len(t, k.tidied, 1)
			assert.Equal(t, horizon, k.tidied[0][1].Sub(k.tidied[0][0])-60*24*time.Hour, back)
		})
	}
}

// A clock that is set back by a year must not stop hourly work.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, s := new(keeper), new(source)
		var back atomic.Int64
		background(t, new(memory), k, outbox.Options{
			Source: s.ask, Logger: quiet, Now: func() time.Time { return time.Now().Add(-time.Duration(back.Load())) },
		})
		pass(time.Minute)
		back.Store(int64(365 * 24 * time.Hour))
		pass(time.Hour + time.Minute)
		assert.Len(t, s.asked(), 3)
		assert.GreaterOrEqual(t, len(k.tidied), 60)
	})
}

// The clock is set back by less than RetryMax. Stored due times are then far ahead,
// but still plausible.
func TestAClockThatIsSetBackALittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := new(keeper)
		var ahead atomic.Int64
		background(t, new(memory), k, outbox.Options{
			Logger: quiet, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		})
		horizon := func() time.Duration {
			k.mu.Lock()
			defer k.mu.Unlock()
			last := k.tidied[len(k.tidied)-1]
			return last[1].Sub(last[0]) - 60*24*time.Hour // the default of Keep
		}
		const usual, near = time.Hour + time.Minute, 33 * time.Second
		pass(90 * time.Second)
		for _, step := range []time.Duration{5 * time.Second, -5 * time.Second, time.Hour} {
			ahead.Add(int64(step))
			pass(time.Second)
		}
		require.Len(t, k.tidied, 3, "only after the step by an hour, besides each minute")
		assert.Equal(t, usual, horizon())

		k.fail(errors.New("disk on fire"))
		ahead.Add(-int64(10 * time.Minute))
		pass(time.Second)
		require.Len(t, k.tidied, 4, "at once")
		assert.Equal(t, near, horizon())
		pass(time.Minute)
		require.Len(t, k.tidied, 5)
		assert.Equal(t, near, horizon())
		k.fail(nil)
		pass(time.Minute)
		require.Len(t, k.tidied, 6, "until it is done")
		assert.Equal(t, near, horizon())
		pass(time.Minute)
		require.Len(t, k.tidied, 7)
		assert.Equal(t, usual, horizon())
	})
}
