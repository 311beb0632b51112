// Command ownqueue confirms conversions from a queue that the application already
// has: SQS, RabbitMQ, a table, River with its own jobs.
//
// Copy worker.go.
//
//	go run ./examples/ownqueue
//
// This file plays some messages against a fake
// SparkLoop, with a queue that prints its calls.
package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func main() {
	story.Main("ownqueue", func(ctx context.Context) error { return run(ctx, os.Stdout) })
}

// printer stands for your queue.
type printer struct{ *story.Story }

func (p printer) Done(message) error {
	p.Printf("   done: confirmed\n")
	return nil
}

func (p printer) Again(_ message, after time.Duration) error {
	p.Printf("   back into the queue, for %s\n", after)
	return nil
}

func (p printer) SetAside(_ message, reason error) error {
	p.Printf("   set aside for a person: %v\n", reason)
	return nil
}

// body is what the shop sends after the order is committed. A message that is
// delivered twice confirms once.
func body(t sparkloop.Tracking) []byte {
	return story.Must(json.Marshal(conversion{"order-1", t}))
}

func run(ctx context.Context, out io.Writer) error {
	return story.Tell(ctx, out, func(s *story.Story) {
		s.Printf("\nSparkLoop is a fake in this process. The queue prints what the worker does with each message.\n")
		w := &worker{printer{s}, story.Must(connect(sparklooptest.APIKey, sparkloop.WithBaseURL(s.API.URL())))}
		_, tracking := s.API.Click("", "")
		play := func(title string, body []byte, fault sparklooptest.Fault) {
			s.Step(title)
			s.API.Fail(sparklooptest.Fault{}, 0) // the last fault may be left over
			s.API.Fail(fault, 1)
			story.Check(w.handle(s.Ctx, message{Body: body, Tries: 1}))
		}
		play("SparkLoop is down", body(tracking), sparklooptest.Status(http.StatusServiceUnavailable, ""))
		play("SparkLoop confirms, and its answer is lost", body(tracking), sparklooptest.LostAnswer())
		play("All is well", body(tracking), sparklooptest.Fault{})
		play("SparkLoop does not know the submission", body(sparkloop.Tracking{Offer: tracking.Offer, Submission: "made_up"}), sparklooptest.Fault{})
		play("The message cannot be read", []byte("{"), sparklooptest.Fault{})
		play("SparkLoop asks for a pause, which holds every call of the client", body(tracking),
			sparklooptest.Status(http.StatusTooManyRequests, "", "Retry-After", "90"))
	})
}
