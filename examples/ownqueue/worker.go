package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	firstPause   = 5 * time.Second
	longestPause = 15 * time.Minute // what the queue allows at most: SQS, for one
)

// connect makes a client that tries once: the queue is what tries again, and it
// survives a crash. Its calls wait for their turn under the rate limit, 10 s at
// most; a message must stay invisible for longer.
func connect(key string, opts ...sparkloop.Option) (*sparkloop.Client, error) {
	return sparkloop.New(key, append(opts, sparkloop.WithRetries(0))...)
}

// worker handles messages. It is safe for concurrent use.
type worker struct {
	queue  queue
	client *sparkloop.Client
}

// handle confirms what a message asks for, and says what becomes of it. An error
// is the queue's own.
func (w *worker) handle(ctx context.Context, m message) error {
	var c conversion
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return w.queue.SetAside(m, fmt.Errorf("read the message: %w", err))
	}
	_, err := w.client.Conversions.Confirm(ctx, c.Tracking)
	switch {
	case err == nil:
		return w.queue.Done(m) // now, or confirmed before
	case sparkloop.Retryable(err):
		wait, asked := sparkloop.RetryAfter(err)
		if !asked {
			wait = backoff(m.Tries)
		}
		return w.queue.Again(m, min(wait, longestPause))
	default:
		return w.queue.SetAside(m, err) // never throw it away
	}
}

// backoff doubles the pause with each try.
func backoff(tries int) time.Duration {
	return min(firstPause<<min(max(tries-1, 0), 20), longestPause)
}
