// Command outbox is a shop in one binary, whose orders are in a database that
// the queue of conversions cannot join in a transaction: MySQL, say, or one
// behind an ORM. Here it is a SQLite file of its own that stands for them.
//
//	go run ./examples/outbox
//
// tells a story against a fake SparkLoop in this process: purchases, an outage,
// a crash at the worst moment, a refusal, the figures, the shutdown. With
// SPARKLOOP_API_KEY set it is a shop for real, and what is bought is confirmed
// at SparkLoop, and counts.
//
// Where to look:
//
//	shop.go    the purchase: commit the order, then Enqueue
//	orders.go  the order's row has the tracking, and Source reads it from there
//	serve.go   what is opened in which order, and closed in the other one
//	admin.go   the status page behind a sign-in, and metrics for Prometheus
//
// Flags and variables: go run ./examples/outbox -h.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "outbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("outbox", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` to listen on, with a key")
	dir := flags.String("data", ".", "`folder` for orders.db and sparkloop.db, with a key: one that a redeploy leaves alone")
	flags.Usage = func() {
		fmt.Fprint(out, "usage: outbox [flags]\n")
		flags.PrintDefaults()
		fmt.Fprint(out, "variables:\n"+
			"  SPARKLOOP_API_KEY   serve, and confirm at SparkLoop; without it, tell a story\n"+
			"  SPARKLOOP_BASE_URL  another address of its API\n"+
			"  ADMIN_PASSWORD      for /status and /metrics; without it, a random one is printed\n")
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	key := getenv("SPARKLOOP_API_KEY")
	if key == "" {
		return tellStory(ctx, out)
	}
	client, err := connect(key, getenv("SPARKLOOP_BASE_URL"))
	if err != nil {
		return err
	}
	password := getenv("ADMIN_PASSWORD")
	if password == "" {
		password = rand.Text()
		fmt.Fprintf(out, "The password for /status and /metrics is %s\n", password)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	p, err := open(ctx, *dir, client, password, outbox.Options{Logger: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	fmt.Fprintf(out, "The shop is at http://%s/, its status at /status. Ctrl-C ends it.\n", listener.Addr())
	return p.serve(ctx, listener)
}

func connect(key, base string) (*sparkloop.Client, error) {
	var opts []sparkloop.Option
	if base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	return sparkloop.New(key, opts...)
}
