package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Bursts of calls, as from a webhook's handlers, to a slow server.
const (
	bursts = 20
	width  = 64
	takes  = 5 * time.Millisecond
)

// opened is the number of connections that a subject's own HTTP client opened
// for the bursts.
type opened struct {
	name     string
	smooth   int // without failures
	troubled int // a broken and a cancelled call between the bursts; their connections are not counted
}

func connections(ctx context.Context, s subject) (opened, error) {
	o := opened{name: s.name}
	for _, into := range []struct {
		count    *int
		troubled bool
	}{{&o.smooth, false}, {&o.troubled, true}} {
		n, err := countConnections(ctx, s, into.troubled)
		if err != nil {
			return o, fmt.Errorf("connections of %s: %w", s.name, err)
		}
		*into.count = n
	}
	return o, nil
}

func countConnections(ctx context.Context, s subject, troubled bool) (n int, err error) {
	server, err := start(takes)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c, err := s.make(setup{base: server.url, noRetries: troubled})
	if err != nil {
		return 0, err
	}
	broken := 0
	for i := range bursts {
		if troubled && i > 0 {
			if err := trouble(ctx, c, server); err != nil {
				return 0, err
			}
			broken += 2
		}
		if err := burst(ctx, c); err != nil {
			return 0, err
		}
	}
	answer, err := server.tell(tellCount)
	if err != nil {
		return 0, err
	}
	all, err := strconv.Atoi(answer)
	return all - broken, err
}

func burst(ctx context.Context, c calls) error {
	failed := make([]error, width)
	var wg sync.WaitGroup
	for i := range width {
		wg.Go(func() { failed[i] = c.post(ctx) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

// trouble makes a call that the server breaks off, and a call that is cancelled
// while the server works. Every client loses these connections.
func trouble(ctx context.Context, c calls, server *process) error {
	if _, err := server.tell(tellBreak); err != nil {
		return err
	}
	// net/http retries a POST that has an idempotency key.
	_ = c.post(ctx)

	if _, err := server.tell(tellHold); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.post(ctx) }()
	if _, err := server.hear(); err != nil {
		return err
	}
	cancel()
	if err := <-done; err == nil {
		return errors.New("a cancelled call returned no error")
	}
	return nil
}
