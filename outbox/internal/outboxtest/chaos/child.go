package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// environment is the variable that holds a process's config.
const environment = "SPARKLOOP_CHAOS_PROCESS"

// workers is the number of conversions that a process delivers at a time.
const workers = 4

// config is the configuration of a process.
type config struct {
	Database string        `json:"database"`
	BaseURL  string        `json:"base_url"`
	Key      string        `json:"key"` // of the fake API
	Requests int           `json:"requests"`
	Window   time.Duration `json:"window"`
	Moved    bool          `json:"moved"` // the queue's clock can be moved
	Ahead    time.Duration `json:"ahead"` // of the real clock

	Usual   bool          `json:"usual"` // default pauses and interval of polling
	Program string        `json:"-"`     // to start; this one unless set
	Clock   time.Duration `json:"-"`     // by which the clock of its host is wrong
}

// Lines on a process's standard output and standard input. At the end of its
// standard input, the process closes its queue and exits.
const (
	sayReady  = "ready"  // and the time on its host's clock
	sayStored = "stored" // and the conversion's key: Enqueue has returned nil

	tellAhead   = "ahead"   // and the time by which the clock is ahead
	tellEnqueue = "enqueue" // and the encoded tracking
)

// Process is for TestMain. It returns false in a test run. If a story has started
// the test binary, Process runs until the end of the process, and returns true.
func Process(e Engine) bool {
	text := os.Getenv(environment)
	if text == "" {
		return false
	}
	var c config
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = c.run(context.Background(), e)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos process:", err)
		os.Exit(1)
	}
	return true
}

// options returns a process's options. Its clock is ahead by the pointer's value.
func (c config) options(ahead *atomic.Int64) outbox.Options {
	o := outbox.Options{Workers: workers, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if !c.Usual {
		o.RetryMin = 100 * time.Millisecond
	}
	if c.Moved {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
	return o
}

func (c config) run(ctx context.Context, e Engine) error {
	var ahead atomic.Int64
	ahead.Store(int64(c.Ahead))
	client, err := sparkloop.New(c.Key, sparkloop.WithBaseURL(c.BaseURL), sparkloop.WithRateLimit(c.Requests, c.Window))
	if err != nil {
		return err
	}
	q, err := e.Open(ctx, c.Database, client, c.options(&ahead))
	if err != nil {
		return err
	}
	fmt.Println(sayReady, time.Now().Unix())

	given := make(chan sparkloop.Tracking)
	var handlers sync.WaitGroup
	for range 8 {
		handlers.Go(func() {
			for t := range given {
				if err := q.Enqueue(ctx, t); err != nil {
					fmt.Fprintln(os.Stderr, "chaos process:", err)
					os.Exit(1)
				}
				fmt.Println(sayStored, t.Key())
			}
		})
	}
	told := bufio.NewScanner(os.Stdin)
	for told.Scan() {
		if err := c.obey(told.Text(), &ahead, given); err != nil {
			return err
		}
	}
	close(given)
	handlers.Wait()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return q.Close(ctx)
}

// obey executes one line of the standard input.
func (c config) obey(line string, ahead *atomic.Int64, given chan<- sparkloop.Tracking) error {
	switch what, with, _ := strings.Cut(line, " "); what {
	case tellAhead:
		d, err := time.ParseDuration(with)
		if err != nil {
			return err
		}
		ahead.Store(int64(d))
	case tellEnqueue:
		t, err := sparkloop.DecodeTracking(with)
		if err != nil {
			return err
		}
		given <- t
	default:
		return fmt.Errorf("unknown line %q", line)
	}
	return nil
}
