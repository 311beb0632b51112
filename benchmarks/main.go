// Command benchmarks compares this SDK with other Go SDKs in one run. It writes
// RESULTS.md and results.svg:
//
//	cd benchmarks && GOWORK=off go run -trimpath .
//
// With -trimpath the measured programs share compiled packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	var p plan
	takes := flag.Duration(serveFlag, -1, "run the local server, with this delay of its answers")
	flag.IntVar(&p.rounds, "rounds", 12, "rounds, each with all clients")
	flag.IntVar(&p.turns, "turns", 20, "turns of a client in a round")
	flag.DurationVar(&p.turn, "turn", 25*time.Millisecond, "length of a turn")
	only := flag.Bool("queues", false, "measure only the queues and print their table")
	sizes := flag.Bool("sizes", true, "build programs to measure their size")
	table := flag.String("table", "RESULTS.md", "the Markdown file to write")
	chart := flag.String("chart", "results.svg", "the SVG file to write")
	flag.Parse()
	if *takes >= 0 {
		exit(serve(*takes, os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *only {
		r := &report{facts: facts()}
		var err error
		if r.queues, err = measureQueues(ctx, queueRounds); err == nil {
			r.queueTable(func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
		}
		exit(err)
	}
	r, err := measure(ctx, p, *sizes)
	if err == nil {
		err = errors.Join(
			os.WriteFile(*table, []byte(r.markdown()), 0o644), //nolint:gosec // for everybody to read
			os.WriteFile(*chart, []byte(r.svg()), 0o644),      //nolint:gosec // likewise
		)
	}
	if err == nil {
		fmt.Print(r.markdown())
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// measure runs all measurements, one after the other.
func measure(ctx context.Context, p plan, sizes bool) (*report, error) {
	r := &report{plan: p, facts: facts()}
	steps := []struct {
		name string
		run  func() error
	}{
		{"in memory", func() error { return r.inMemory(ctx) }},
		{"on a local server", func() error { return r.onServer(ctx) }},
		{"without a server", func() error { return r.inProcess(ctx) }},
		{"queues", func() (err error) { r.queues, err = measureQueues(ctx, queueRounds); return err }},
		{"connections", func() error { return r.countConnections(ctx) }},
		{"sizes", func() error {
			if !sizes {
				return nil
			}
			return r.measureSizes(ctx)
		}},
	}
	for _, step := range steps {
		began := time.Now()
		if err := step.run(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", step.name, time.Since(began).Round(time.Second))
	}
	r.at = time.Now()
	return r, nil
}

func (r *report) inMemory(ctx context.Context) (err error) {
	var posts, lists []task
	answers := memory(replies())
	for _, s := range subjects {
		c, err := s.make(setup{base: "http://localhost", client: &http.Client{Transport: answers}})
		if err != nil {
			return err
		}
		posts, lists = append(posts, task{s.name, c.post}), append(lists, task{s.name, c.list})
	}
	if r.post, err = r.plan.compare(ctx, posts); err != nil {
		return err
	}
	r.list, err = r.plan.compare(ctx, lists)
	return err
}

func (r *report) onServer(ctx context.Context) (err error) {
	server, err := start(0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	var posts []task
	for _, s := range subjects {
		c, err := s.make(setup{base: server.url})
		if err != nil {
			return err
		}
		posts = append(posts, task{s.name, c.post})
	}
	r.remote, err = r.plan.compare(ctx, posts)
	return err
}

func (r *report) inProcess(ctx context.Context) (err error) {
	if r.pacing, err = r.plan.compare(ctx, pacingTasks()); err != nil {
		return err
	}
	views, err := captureTasks()
	if err != nil {
		return err
	}
	r.capture, err = r.plan.compare(ctx, views)
	return err
}

func (r *report) countConnections(ctx context.Context) error {
	for _, s := range subjects {
		o, err := connections(ctx, s)
		if err != nil {
			return err
		}
		r.opened = append(r.opened, o)
	}
	return nil
}

func (r *report) measureSizes(ctx context.Context) error {
	for _, s := range subjects {
		f, err := measureFootprint(ctx, s)
		if err != nil {
			return err
		}
		r.sizes = append(r.sizes, f)
	}
	return nil
}
