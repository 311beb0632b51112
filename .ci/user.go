// A user's program with every module of the SDK. It delivers a click through
// the outbox, with metrics and traces. Its arguments are the command line tool,
// which runs against the same fake SparkLoop.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopotel"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, tool string) error {
	api, err := sparklooptest.Start()
	if err != nil {
		return err
	}
	defer api.Close()
	measured := sparkloopprom.NewTransport(nil)
	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(api.URL()),
		sparkloop.WithHTTPClient(&http.Client{Transport: sparkloopotel.NewTransport(measured)}))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "user")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), client, outbox.Options{})
	if err != nil {
		return err
	}
	defer queue.Close(ctx)
	prometheus.MustRegister(measured, sparkloopprom.NewCollector(queue))
	if _, err := sparkloopotel.ObserveQueue(queue); err != nil {
		return err
	}
	if _, err := capture.New(capture.Options{}); err != nil {
		return err
	}
	if !strings.Contains(riveroutbox.MigrationSQL(""), "CREATE TABLE") {
		return errors.New("riveroutbox has no migration")
	}

	_, tracking := api.Click("", "https://shop.example/welcome")
	if err := queue.Enqueue(ctx, tracking); err != nil {
		return err
	}
	if err := api.WaitConfirmed(ctx, tracking); err != nil {
		return err
	}
	fmt.Println("Confirmed", tracking.Key())

	cmd := exec.CommandContext(ctx, tool, "offers")
	cmd.Env = append(os.Environ(), "SPARKLOOP_API_KEY="+sparklooptest.APIKey, "SPARKLOOP_BASE_URL="+api.URL())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
