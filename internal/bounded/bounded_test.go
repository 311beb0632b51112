package bounded_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/bounded"
)

const most = 5 * time.Second

func TestGetSharesAReadThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		r := bounded.New(most, func(context.Context) (int, error) {
			reads++
			time.Sleep(time.Second)
			return reads, nil
		})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				n, err := r.Get(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, 1, n)
			})
		}
		all.Wait()
		n, err := r.Get(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, n, "a later call reads again")
	})
}

func TestGetEndsAReadInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := bounded.New(most, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		began := time.Now()
		_, err := r.Get(t.Context())
		require.Error(t, err)
		assert.Equal(t, most, time.Since(began))
	})
}

// A read that ignores its context delays no later caller, and no second read
// begins beside it.
func TestGetWaitsForNoReadThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var reads atomic.Int64
		r := bounded.New(most, func(context.Context) (int64, error) {
			n := reads.Add(1)
			<-hang
			return n, nil
		})
		for _, waits := range []time.Duration{most, 0, 0} {
			began := time.Now()
			_, err := r.Get(t.Context())
			require.ErrorIs(t, err, bounded.ErrSlow)
			assert.Equal(t, waits, time.Since(began))
			time.Sleep(time.Minute)
		}
		assert.EqualValues(t, 1, reads.Load())
		close(hang)
		synctest.Wait()
		n, err := r.Get(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 2, n, "not the value of the read that hung")
	})
}

func TestGetEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := bounded.New(most, func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return 1, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := r.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		n, err := r.Get(t.Context())
		require.NoError(t, err, "the read continues for other callers")
		assert.Equal(t, 1, n)
	})
}

func TestGetReturnsWhatGoesWrong(t *testing.T) {
	t.Parallel()
	broken := errors.New("database is locked")
	for want, read := range map[string]func(context.Context) (int, error){
		"database is locked":           func(context.Context) (int, error) { return 0, broken },
		"the read panicked: no queue":  func(context.Context) (int, error) { panic("no queue") },
		"the read ended its goroutine": func(context.Context) (int, error) { runtime.Goexit(); return 0, nil },
	} {
		r := bounded.New(most, read)
		for range 2 {
			_, err := r.Get(t.Context())
			require.EqualError(t, err, want)
		}
	}
}
