package programtest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Queue is a queue in memory that can fail. Like the engines, it ignores a zero
// tracking and rejects an invalid one. Its other methods panic.
type Queue struct {
	outbox.Queue

	mu           sync.Mutex
	keys         []string
	full, broken []error
}

// FailEnqueue makes the next calls of Enqueue return these errors, one each.
func (q *Queue) FailEnqueue(errs ...error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full = errs
}

// FailLookup makes the next calls of Lookup return these errors, one each.
func (q *Queue) FailLookup(errs ...error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.broken = errs
}

// Enqueue stores the conversion, again if it is known.
func (q *Queue) Enqueue(ctx context.Context, t sparkloop.Tracking) error {
	if err := errors.Join(ctx.Err(), t.Validate()); err != nil || t.IsZero() {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := next(&q.full); err != nil {
		return err
	}
	q.keys = append(q.keys, t.Key())
	return nil
}

// Lookup reports whether the conversion was enqueued.
func (q *Queue) Lookup(_ context.Context, t sparkloop.Tracking) (outbox.Entry, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := next(&q.broken); err != nil {
		return outbox.Entry{}, false, err
	}
	return outbox.Entry{Tracking: t}, slices.Contains(q.keys, t.Key()), nil
}

// Keys returns the key of each call of Enqueue that succeeded.
func (q *Queue) Keys() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.keys)
}

// Has reports whether the conversion was enqueued.
func (q *Queue) Has(t sparkloop.Tracking) bool { return slices.Contains(q.Keys(), t.Key()) }

func next(errs *[]error) error {
	if len(*errs) == 0 {
		return nil
	}
	err := (*errs)[0]
	*errs = (*errs)[1:]
	return err
}
