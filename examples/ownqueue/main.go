// Command ownqueue confirms conversions from a queue that the application has
// already: SQS, RabbitMQ, a table, River with jobs of its own.
//
//	go run ./examples/ownqueue
//
// plays some messages against a fake SparkLoop. The worker, in worker.go, is the
// part to copy; queue.go stands for your queue.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ownqueue:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, out io.Writer) error {
	api, err := sparklooptest.Start()
	if err != nil {
		return err
	}
	defer api.Close()
	client, err := connect(sparklooptest.APIKey, sparkloop.WithBaseURL(api.URL()))
	if err != nil {
		return err
	}
	queue := &memory{out: out}
	w := &worker{queue: queue, client: client}
	_, tracking := api.Click("", "")
	unknown := sparkloop.Tracking{Offer: tracking.Offer, Submission: "made_up"}
	for _, scene := range []struct {
		title string
		body  []byte
		fault sparklooptest.Fault
	}{
		{"SparkLoop is down", body(tracking), sparklooptest.Status(http.StatusServiceUnavailable, "")},
		{"SparkLoop says yes, and its answer is lost", body(tracking), sparklooptest.LostAnswer()},
		{"All is well", body(tracking), sparklooptest.Fault{}},
		{"A submission that SparkLoop does not know", body(unknown), sparklooptest.Fault{}},
		{"A message that is not ours", []byte("{"), sparklooptest.Fault{}},
		{"SparkLoop asks for a pause, which holds every call of the client", body(tracking), sparklooptest.Status(http.StatusTooManyRequests, "", "Retry-After", "90")},
	} {
		fmt.Fprintf(out, "%s\n", scene.title)
		api.Fail(sparklooptest.Fault{}, 0) // what was not asked for
		api.Fail(scene.fault, 1)
		if err := w.handle(ctx, message{Body: scene.body, Tries: 1}); err != nil {
			return err
		}
	}
	return nil
}
