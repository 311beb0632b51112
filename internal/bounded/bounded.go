// Package bounded reads a value for metrics: with a time limit, once for all
// concurrent callers, and safe from a read that hangs or panics.
package bounded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrSlow is returned if a read exceeds its time limit.
var ErrSlow = errors.New("the read takes too long")

// Reader shares one read among all callers of Get. It is safe for concurrent
// use.
type Reader[T any] struct {
	read func(context.Context) (T, error)
	most time.Duration

	mu      sync.Mutex
	current *reading[T]
}

type reading[T any] struct {
	began time.Time
	done  chan struct{}
	value T
	err   error
}

// New returns a Reader. The context of a read ends after most.
func New[T any](most time.Duration, read func(context.Context) (T, error)) *Reader[T] {
	return &Reader[T]{read: read, most: most}
}

// Get returns the result of a read that began during this call, or at most the
// Reader's time limit before it. It returns ErrSlow after that limit, even if
// the read ignores its context; no second read begins before the first one
// ends.
func (r *Reader[T]) Get(ctx context.Context) (T, error) {
	r.mu.Lock()
	now := r.current
	if now == nil {
		now = &reading[T]{began: time.Now(), done: make(chan struct{}), err: errors.New("the read ended its goroutine")}
		r.current = now
		go r.run(now)
	}
	r.mu.Unlock()

	var zero T
	left := time.NewTimer(r.most - time.Since(now.began))
	defer left.Stop()
	select {
	case <-now.done:
		return now.value, now.err
	case <-left.C:
		return zero, ErrSlow
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

func (r *Reader[T]) run(now *reading[T]) {
	ctx, cancel := context.WithTimeout(context.Background(), r.most)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			now.err = fmt.Errorf("the read panicked: %v", v)
		}
		r.mu.Lock()
		r.current = nil
		r.mu.Unlock()
		close(now.done)
	}()
	now.value, now.err = r.read(ctx)
}
