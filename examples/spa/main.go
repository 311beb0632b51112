// Command spa is a single-page app whose API is on another host. Copy api.go, with
// http.go and store.go, and web/api.js.
//
//	go run ./examples/spa
//
// It prints a link that plays SparkLoop's redirect. The page and the API listen
// on two ports of loopback: two origins of one site, like app.example.com and
// api.example.com. SparkLoop and the payment site are played by this process.
//
//	api.go      capture, consent, signup, order, and the webhook of a payment
//	web/api.js  calls the API with the page's query and cookies
//	web/app.js  the views of the page
//	http.go     CORS with credentials, cookies, JSON
//	store.go    rows of users and orders, and the queue in the same database
//	demo.go     SparkLoop's redirect and the payment site
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func main() {
	story.Main("spa", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

// run opens in the order in which things need each other, and closes in the
// reverse order: handlers, deliveries, database.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := story.Flags(out, "spa", "[flags]", "")
	pageAddr := flags.String("page", "127.0.0.1:8080", "`host:port` of the page")
	apiAddr := flags.String("api", "127.0.0.1:8081", "`host:port` of the API")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pageListener, err := net.Listen("tcp", *pageAddr)
	if err != nil {
		return err
	}
	defer pageListener.Close() //nolint:errcheck // its server may have closed it
	apiListener, err := net.Listen("tcp", *apiAddr)
	if err != nil {
		return err
	}
	defer apiListener.Close() //nolint:errcheck // its server may have closed it
	pageURL, apiURL := "http://"+pageListener.Addr().String(), "http://"+apiListener.Addr().String()

	fake, err := sparklooptest.Start()
	if err != nil {
		return err
	}
	defer fake.Close()
	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(fake.URL()))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "spa-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	logger := slog.New(slog.NewTextHandler(out, nil))
	db, err := openStore(ctx, filepath.Join(dir, "spa.db"), client, outbox.Options{Logger: logger})
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, db.close(end))
	}()

	secret := rand.Text()
	a, err := newAPI(config{store: db, page: pageURL, pay: apiURL + "/demo/pay", secret: secret, logger: logger})
	if err != nil {
		return err
	}
	d := &demo{fake: fake, page: pageURL, api: apiURL, secret: secret, http: &http.Client{Timeout: 10 * time.Second}}
	mux := http.NewServeMux()
	mux.Handle("/", a.handler())
	mux.HandleFunc("GET /demo/click", d.click)
	mux.HandleFunc("GET /demo/pay", d.payForm)
	mux.HandleFunc("POST /demo/pay", d.pay)

	fmt.Fprintf(out, "\n   page    %s/\n   API     %s/\n   click   %s/demo/click\n\nOpen the click link, sign up, and buy. Ctrl-C ends it.\n\n", pageURL, apiURL, apiURL)
	// If one server fails, the other one ends too.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2)
	for l, h := range map[net.Listener]http.Handler{pageListener: page(apiURL), apiListener: mux} {
		go func() {
			failed <- story.Serve(ctx, l, h)
			cancel()
		}()
	}
	return errors.Join(<-failed, <-failed)
}
