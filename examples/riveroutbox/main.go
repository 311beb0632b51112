// Command riveroutbox is a shop on PostgreSQL with two kinds of process: web
// processes only enqueue, and workers deliver. Each may run many times.
//
// Copy shop.go: the purchase stores the order and its conversion in one transaction,
// and Source reads the trackings of paid orders. main.go opens the queue for each
// kind of process. databasesql_test.go shows the same for database/sql, GORM, sqlx,
// ent and bun.
//
//	go run ./examples/riveroutbox
//
// Without arguments, story.go plays a purchase, a rollback and a killed worker
// against a fake SparkLoop, with both processes started from this binary. It uses
// the database of DATABASE_URL, where it creates the schemas example_shop and
// example_outbox and drops them at the end. Without DATABASE_URL it starts a
// private PostgreSQL, if one is installed. The processes by themselves, with
// SparkLoop's real API:
//
//	export DATABASE_URL=... SPARKLOOP_API_KEY=...
//	go run ./examples/riveroutbox web
//	go run ./examples/riveroutbox worker
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
)

// The schemas. An application keeps riveroutbox's default, "sparkloop". This
// example may run in the same database.
const (
	shopSchema   = "example_shop"
	outboxSchema = "example_outbox"
)

// closeMax bounds the shutdown of a process.
const closeMax = 25 * time.Second

func main() {
	story.Main("riveroutbox", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout) })
}

func run(ctx context.Context, args []string, getenv func(string) string, in io.Reader, out io.Writer) error {
	flags := story.Flags(out, "riveroutbox", "[flags] [web | worker]", ""+
		"  DATABASE_URL        of a PostgreSQL\n"+
		"  SPARKLOOP_API_KEY   for web and worker\n"+
		"  SPARKLOOP_BASE_URL  another address of SparkLoop's API\n")
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` of the web process")
	child := flags.Bool("child", false, "end when standard input ends, with the process that started this one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	role := flags.Arg(0)
	switch {
	case role == "":
		return tellStory(ctx, getenv("DATABASE_URL"), out)
	case role != "web" && role != "worker" || flags.NArg() > 1:
		return fmt.Errorf("unknown arguments %q: expected web, worker, or nothing for the story", flags.Args())
	case getenv("DATABASE_URL") == "":
		return errors.New("DATABASE_URL is not set; for example postgres://shop@db.example.com/shop?pool_max_conns=8")
	}
	if *child {
		ctx = story.AsChild(ctx, in)
	}
	client, err := story.Connect(getenv)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close() // last: the queue uses it
	if _, err := pool.Exec(ctx, ordersSchema); err != nil {
		return err
	}
	o := outbox.Options{Logger: slog.New(slog.NewTextHandler(out, nil))}
	if role == "worker" {
		return work(ctx, pool, client, o, out)
	}
	return serve(ctx, pool, client, o, *addr, out)
}

// work delivers until ctx ends. Any number of processes may do so: they share
// the work and one rate limit.
func work(ctx context.Context, pool *pgxpool.Pool, client *sparkloop.Client, o outbox.Options, out io.Writer) error {
	o.Source = trackings(pool)
	queue, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{Options: o, Schema: outboxSchema})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "delivering")
	<-ctx.Done()
	return end(ctx, queue)
}

// serve serves the shop until ctx ends. It delivers nothing.
func serve(ctx context.Context, pool *pgxpool.Pool, client *sparkloop.Client, o outbox.Options, addr string, out io.Writer) error {
	o.Workers = -1
	queue, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{Options: o, Schema: outboxSchema})
	if err != nil {
		return err
	}
	keep, err := capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s/\n", listener.Addr())
	err = story.Serve(ctx, listener, (&shop{pool, queue, keep, o.Logger}).handler())
	return errors.Join(err, end(ctx, queue))
}

func end(ctx context.Context, queue outbox.Queue) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
	defer cancel()
	return queue.Close(ctx)
}
