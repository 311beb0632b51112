package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const storyPassword = "story"

// story is the stage: a SparkLoop, and the program as it would run.
type story struct {
	api    *sparklooptest.Server
	client *sparkloop.Client
	dir    string
	out    io.Writer
	n      int // of the last step

	program *program
	home    string       // the shop's address
	stop    func() error // ends the program and waits for it
}

// tellStory plays what can happen to a conversion and prints it.
func tellStory(ctx context.Context, out io.Writer) (err error) {
	api, err := sparklooptest.Start()
	if err != nil {
		return err
	}
	defer api.Close()
	dir, err := os.MkdirTemp("", "outbox-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	// The story sends a handful of requests, so it does without the limit, which
	// would space them by half a second.
	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(api.URL()), sparkloop.WithRateLimit(0, 0))
	if err != nil {
		return err
	}
	s := &story{api: api, client: client, dir: dir, out: out, stop: func() error { return nil }}
	defer func() { err = errors.Join(err, s.stop()) }()
	s.printf("\nOrders in orders.db, which could be any database; conversions in sparkloop.db, until\n" +
		"SparkLoop has confirmed them. SparkLoop is a fake one in this process.\n")
	for _, scene := range []func(context.Context) error{s.start, s.purchase, s.outage, s.crash, s.refusal, s.figures, s.end} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts the program, as main does with a key.
func (s *story) start(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p, err := open(ctx, s.dir, s.client, storyPassword, outbox.Options{
		RetryMin: 50 * time.Millisecond, // 5 s if nobody watches
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, listener) }()
	s.program, s.home = p, "http://"+listener.Addr().String()
	s.stop = func() error {
		s.stop = func() error { return nil }
		cancel()
		return <-ended
	}
	return nil
}

func (s *story) purchase(ctx context.Context) error {
	s.step("A reader clicks, lands and buys")
	tracking, took, err := s.buys(ctx)
	if err != nil {
		return err
	}
	s.printf("   the checkout took %s: it waited for two files, not for SparkLoop\n", took)
	return s.settled(ctx, tracking)
}

func (s *story) outage(ctx context.Context) error {
	s.step("SparkLoop is down, and three readers buy")
	s.api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
	var all []sparkloop.Tracking
	var slowest time.Duration
	for range 3 {
		tracking, took, err := s.buys(ctx)
		if err != nil {
			return err
		}
		all, slowest = append(all, tracking), max(slowest, took)
	}
	stats, err := s.until(ctx, func(s outbox.Stats) bool { return !s.PausedSince.IsZero() })
	if err != nil {
		return err
	}
	s.printf("   the slowest checkout took %s\n", slowest)
	s.printf("   … %d pending, the queue has paused: %s\n", stats.Pending, stats.PausedReason)
	s.printf("   SparkLoop is back\n")
	s.api.Fail(sparklooptest.Fault{}, 0)
	return s.settled(ctx, all...)
}

// crash has an order as a handler leaves it that dies in between: committed, and
// never enqueued.
func (s *story) crash(ctx context.Context) error {
	s.step("The program is killed after an order's commit and before Enqueue")
	_, tracking := s.api.Click("", s.home+"/")
	id, err := s.program.orders.place(ctx, "notebook", tracking)
	if err != nil {
		return err
	}
	_, found, err := s.program.queue.Lookup(ctx, tracking)
	if err := errors.Join(err, s.stop()); err != nil {
		return err
	}
	s.printf("   order %d is in orders.db; its conversion is in the queue: %t\n", id, found)
	s.printf("   the program starts again, and asks Source for the last 45 days\n")
	if err := s.start(ctx); err != nil {
		return err
	}
	stats, err := s.until(ctx, func(s outbox.Stats) bool { return s.Swept > 0 })
	if err != nil {
		return err
	}
	s.printf("   … %d swept\n", stats.Swept)
	return s.settled(ctx, tracking)
}

func (s *story) refusal(ctx context.Context) error {
	s.step("Somebody makes up a submission in the landing URL")
	landing := s.home + "/?offer=" + sparklooptest.DefaultOffer + "&submission=made_up"
	if _, err := newVisitor().buys(ctx, landing, s.home); err != nil {
		return err
	}
	return s.settled(ctx, sparkloop.Tracking{Offer: sparklooptest.DefaultOffer, Submission: "made_up"})
}

func (s *story) figures(ctx context.Context) error {
	s.step("The figures, behind the application's own sign-in")
	for _, path := range []string{"/metrics", "/status?format=json"} {
		status, body, err := newVisitor().get(ctx, s.home+path, storyPassword)
		if err != nil {
			return err
		}
		s.printf("   GET %s: %d\n", path, status)
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "# ") {
				continue // Prometheus' explanations
			}
			s.printf("     %.77s\n", strings.TrimSpace(line))
		}
	}
	return nil
}

func (s *story) end(context.Context) error {
	s.step("The end: the HTTP server closes first, then the queue, then the database")
	if err := s.stop(); err != nil {
		return err
	}
	s.printf("   closed; what is still pending is delivered by the next process\n\n" +
		"The purchase is in examples/outbox/shop.go. With your key, SPARKLOOP_API_KEY=... go run ./examples/outbox\n" +
		"serves the shop.\n\n")
	return nil
}

// buys has a new reader click and buy. It returns how long the purchase took.
func (s *story) buys(ctx context.Context) (sparkloop.Tracking, time.Duration, error) {
	landing, tracking := s.api.Click("", s.home+"/")
	took, err := newVisitor().buys(ctx, landing, s.home)
	return tracking, took.Round(100 * time.Microsecond), err
}

// until waits for the queue's figures to be like that.
func (s *story) until(ctx context.Context, done func(outbox.Stats) bool) (stats outbox.Stats, err error) {
	err = poll(ctx, func() (bool, error) {
		stats, err = s.program.queue.Stats(ctx)
		return done(stats), err
	})
	return stats, err
}

// settled waits for SparkLoop's answer about conversions, and prints it.
func (s *story) settled(ctx context.Context, all ...sparkloop.Tracking) error {
	for _, tracking := range all {
		var e outbox.Entry
		err := poll(ctx, func() (found bool, err error) {
			e, found, err = s.program.queue.Lookup(ctx, tracking)
			return found && e.State != outbox.Pending, err
		})
		if err != nil {
			return err
		}
		mark, state := "✓", "Confirmed"
		if e.State != outbox.Confirmed {
			mark, state = "✗", "Dead, for a person to look at"
		}
		s.printf("   %s %s: %s\n", mark, state, e.Reason)
	}
	return nil
}

// poll asks every few milliseconds, for a minute at most.
func poll(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *story) step(title string) {
	s.n++
	s.printf("\n%d. %s\n", s.n, title)
}

func (s *story) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }
