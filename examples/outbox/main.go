// Command outbox is a shop in one binary. Its orders are in a database that the
// queue cannot join in a transaction: MySQL, for example. A SQLite file stands
// for that database.
//
// Copy shop.go: the purchase commits the order, then enqueues its conversion, and
// Source reads the trackings of paid orders. main.go has the rest of a program: what
// is opened and closed in which order, the status page and the metrics.
//
//	go run ./examples/outbox
//
// Without SPARKLOOP_API_KEY, story.go plays purchases, an outage, a crash at the
// worst moment and a refusal against a fake SparkLoop. With a key the program
// serves the shop, and confirms its sales for real. For its settings:
// go run ./examples/outbox -h
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

func main() {
	story.Main("outbox", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Getenv, os.Stdout) })
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := story.Flags(out, "outbox", "[flags]", ""+
		"  SPARKLOOP_API_KEY   serves the shop and confirms at SparkLoop; without it, tells a story\n"+
		"  SPARKLOOP_BASE_URL  another address of SparkLoop's API\n"+
		"  ADMIN_PASSWORD      for /status and /metrics; default: a random one, which is printed\n")
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` to listen on, with a key")
	dir := flags.String("data", ".", "`folder` for orders.db and sparkloop.db, with a key; a deployment must keep it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if getenv("SPARKLOOP_API_KEY") == "" {
		return story.Tell(ctx, out, tell)
	}
	client, err := story.Connect(getenv)
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

// program is everything that the process has open.
type program struct {
	db      *sql.DB
	queue   *sqliteoutbox.Outbox
	handler http.Handler
}

// open opens the database, then the queue, whose Source reads it, then the shop.
func open(ctx context.Context, dir string, client *sparkloop.Client, password string, o outbox.Options) (*program, error) {
	const pragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	path := filepath.Join(dir, "orders.db")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, ordersSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	shop := &shop{db: db, log: o.Logger}
	o.Source = shop.trackings
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), client, o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p := &program{db: db, queue: queue}
	shop.queue = queue
	if shop.capture, err = capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)}); err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	mux := http.NewServeMux()
	mux.Handle("/", shop.handler())
	mux.Handle("/status", signedIn(password, outbox.StatusHandler(queue)))
	mux.Handle("/metrics", signedIn(password, metrics(queue)))
	p.handler = mux
	return p, nil
}

// closeMax limits the shutdown. Set your supervisor's grace period to at least
// this long. Killing the process earlier loses no data.
const closeMax = 25 * time.Second

// serve serves until ctx ends, then closes everything.
func (p *program) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: p.handler, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
	defer cancel()
	// First the handlers, which enqueue. Then the queue, whose Source reads the
	// database. The database last.
	return errors.Join(err, server.Shutdown(end), p.queue.Close(end), p.db.Close())
}

// close is for a program that does not serve.
func (p *program) close(ctx context.Context) error {
	return errors.Join(p.queue.Close(ctx), p.db.Close())
}

// signedIn stands for the application's own sign-in. The status page needs one:
// it shows offers, submissions and errors.
func signedIn(password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if password == "" || subtle.ConstantTimeCompare([]byte(given), []byte(password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="admin"`)
			http.Error(w, "Please sign in.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// metrics has the queue's figures for Prometheus.
func metrics(queue outbox.Queue) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(sparkloopprom.NewCollector(queue))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
