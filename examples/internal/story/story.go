// Package story is what the examples share: visitors with a browser, a fake
// SparkLoop, the printing of what happens, and the frame of a program. An
// application needs none of it.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// Story plays scenes against a fake SparkLoop and prints them. Its methods do
// not return errors: the first error ends the story, and Tell returns it.
type Story struct {
	Ctx    context.Context
	API    *sparklooptest.Server
	Client *sparkloop.Client // without a rate limit

	out      io.Writer
	steps    int
	cleanups []func() error
}

// failure is the panic with which an error ends the story.
type failure struct{ err error }

// Tell starts a fake SparkLoop and calls tell. It returns the first error.
func Tell(ctx context.Context, out io.Writer, tell func(*Story)) (err error) {
	s := &Story{Ctx: ctx, out: out}
	defer func() {
		for _, clean := range slices.Backward(s.cleanups) {
			err = errors.Join(err, clean())
		}
	}()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.err
		default:
			panic(r)
		}
	}()
	s.API = Must(sparklooptest.Start())
	s.Cleanup(func() error { s.API.Close(); return nil })
	// The limit of 120 requests a minute would space the few requests of a story
	// by half a second.
	s.Client = Must(sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(s.API.URL()), sparkloop.WithRateLimit(0, 0)))
	tell(s)
	return nil
}

// Must returns v. An error ends the story.
func Must[T any](v T, err error) T {
	Check(err)
	return v
}

// Check ends the story if err is not nil.
func Check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Cleanup calls f at the end of the story, the last one first.
func (s *Story) Cleanup(f func() error) { s.cleanups = append(s.cleanups, f) }

// TempDir makes a folder that is removed at the end.
func (s *Story) TempDir() string {
	dir := Must(os.MkdirTemp("", "sparkloop-example-*"))
	s.Cleanup(func() error { return os.RemoveAll(dir) })
	return dir
}

// Step prints the heading of the next scene.
func (s *Story) Step(title string) {
	s.steps++
	s.Printf("\n%d. %s\n", s.steps, title)
}

// Printf prints to the story's output.
func (s *Story) Printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// Settled waits for SparkLoop's answer to each conversion, and prints it.
func (s *Story) Settled(queue outbox.Queue, all ...sparkloop.Tracking) {
	for _, tracking := range all {
		var e outbox.Entry
		s.Until(func() (found bool, err error) {
			e, found, err = queue.Lookup(s.Ctx, tracking)
			return found && e.State != outbox.Pending, err
		})
		if e.State == outbox.Confirmed {
			s.Printf("   ✓ Confirmed: %s\n", e.Reason)
		} else {
			s.Printf("   ✗ Refused, for a person to look at: %s\n", e.Reason)
		}
	}
}

// Paused waits until the queue has paused, and returns its figures.
func (s *Story) Paused(queue outbox.Queue) (stats outbox.Stats) {
	s.Until(func() (_ bool, err error) {
		stats, err = queue.Stats(s.Ctx)
		return !stats.PausedSince.IsZero(), err
	})
	return stats
}

// Until calls done every few milliseconds until it returns true, for a minute
// at most.
func (s *Story) Until(done func() (bool, error)) {
	ctx, cancel := context.WithTimeout(s.Ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !Must(done()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			Check(ctx.Err())
		}
	}
}
