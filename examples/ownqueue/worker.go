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
	longestPause = 15 * time.Minute // the maximum of your queue; this is SQS's
)

// message is one of your queue's.
type message struct {
	Body  []byte
	Tries int // how often it was received, this time included
}

// conversion is the body of a message. A Tracking marshals itself, and is
// validated when it is read.
type conversion struct {
	Order    string             `json:"order"`
	Tracking sparkloop.Tracking `json:"tracking"`
}

// queue is your queue. If the worker is killed before it calls one of these, the
// queue delivers the message again.
type queue interface {
	Done(m message) error                       // delete the message
	Again(m message, after time.Duration) error // deliver it again after that time
	SetAside(m message, reason error) error     // move it to the dead-letter queue
}

// connect returns a client that tries each call once: the queue retries, and
// survives a crash. A call waits at most 10 s for its turn under the rate limit,
// so a message must stay invisible for longer.
func connect(key string, opts ...sparkloop.Option) (*sparkloop.Client, error) {
	return sparkloop.New(key, append(opts, sparkloop.WithRetries(0))...)
}

// worker handles messages. It is safe for concurrent use.
type worker struct {
	queue  queue
	client *sparkloop.Client
}

// handle confirms the conversion of a message. It returns an error only if the
// queue does.
func (w *worker) handle(ctx context.Context, m message) error {
	var c conversion
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return w.queue.SetAside(m, fmt.Errorf("read the message: %w", err))
	}
	_, err := w.client.Conversions.Confirm(ctx, c.Tracking)
	switch {
	case err == nil:
		return w.queue.Done(m) // confirmed now, or before
	case sparkloop.Retryable(err):
		wait, asked := sparkloop.RetryAfter(err)
		if !asked {
			wait = min(firstPause<<min(max(m.Tries-1, 0), 20), longestPause) // doubles with each try
		}
		return w.queue.Again(m, min(wait, longestPause))
	default:
		return w.queue.SetAside(m, err) // never throw it away
	}
}
