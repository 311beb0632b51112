// Command riveroutbox is a shop on PostgreSQL in two kinds of process, each of
// which may run many times: one for the web, which only enqueues, and one that
// delivers.
//
//	go run ./examples/riveroutbox
//
// tells a story against a fake SparkLoop: it starts both from this binary, has
// an order committed and one rolled back, kills the worker and starts it again.
// The database is DATABASE_URL's, in which it makes the schemas example_shop and
// example_outbox and drops them at the end; without it, a PostgreSQL of its
// own, if one is installed. The two by themselves, with SparkLoop's real API:
//
//	export DATABASE_URL=... SPARKLOOP_API_KEY=...
//	go run ./examples/riveroutbox web
//	go run ./examples/riveroutbox worker
//
// Where to look:
//
//	web.go       the purchase: order and conversion in one transaction
//	worker.go    the process that delivers, and heals by Source
//	orders.go    the order's row has the tracking
//
// databasesql_test.go has the same for database/sql, and what stands on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
)

// The schemas. An application leaves riveroutbox's at its default, "sparkloop";
// this example may run beside it.
const (
	shopSchema   = "example_shop"
	outboxSchema = "example_outbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "riveroutbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("riveroutbox", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` of the web process")
	child := flags.Bool("child", false, "end when standard input does: with the process that started this one")
	flags.Usage = func() {
		fmt.Fprint(out, "usage: riveroutbox [flags] [web | worker]\n")
		flags.PrintDefaults()
		fmt.Fprint(out, "variables:\n"+
			"  DATABASE_URL        of a PostgreSQL\n"+
			"  SPARKLOOP_API_KEY   for web and worker\n"+
			"  SPARKLOOP_BASE_URL  another address of SparkLoop's API\n")
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	role := flags.Arg(0)
	switch {
	case role == "":
		return tellStory(ctx, getenv("DATABASE_URL"), out)
	case role != "web" && role != "worker" || flags.NArg() > 1:
		return fmt.Errorf("what is %q? It is web or worker, or nothing for the story", flags.Args())
	case getenv("DATABASE_URL") == "":
		return errors.New("DATABASE_URL is not set, such as postgres://shop@db.example.com/shop?pool_max_conns=8")
	}
	if *child {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		go func() {
			io.Copy(io.Discard, in) //nolint:errcheck // it ends, in whatever way
			end()
		}()
	}
	client, err := connect(getenv("SPARKLOOP_API_KEY"), getenv("SPARKLOOP_BASE_URL"))
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close() // last
	if err := makeOrders(ctx, pool); err != nil {
		return err
	}
	if role == "worker" {
		return work(ctx, pool, client, out)
	}
	return serve(ctx, pool, client, *addr, out)
}

func connect(key, base string) (*sparkloop.Client, error) {
	var opts []sparkloop.Option
	if base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	return sparkloop.New(key, opts...)
}
