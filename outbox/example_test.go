package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// memory stands for the queue of an engine, from sqliteoutbox.Open or
// riveroutbox.Open.
type memory struct {
	outbox.Queue
	known map[string]bool
}

func (m *memory) Enqueue(_ context.Context, t sparkloop.Tracking) error {
	m.known[t.Key()] = true
	return nil
}

func (m *memory) Lookup(_ context.Context, t sparkloop.Tracking) (outbox.Entry, bool, error) {
	return outbox.Entry{Tracking: t}, m.known[t.Key()], nil
}

func (m *memory) Stats(context.Context) (outbox.Stats, error) {
	noon := time.Date(2026, 7, 3, 12, 0, 0, 0, time.UTC)
	return outbox.Stats{Time: noon, Pending: len(m.known), OldestPending: noon.Add(-2 * time.Hour)}, nil
}

// A reader buys twice, after a click for each purchase. The first tracking is
// still in the user's row at the second purchase. FirstNew skips it.
func ExampleFirstNew() {
	ctx := context.Background()
	queue := &memory{known: map[string]bool{}}
	row := sparkloop.Tracking{Offer: "offer_1", Submission: "the_first_click", CapturedAt: time.Now()}
	cookie := sparkloop.Tracking{Offer: "offer_1", Submission: "the_second_click", CapturedAt: time.Now()}

	for range 2 {
		t, err := outbox.FirstNew(ctx, queue, row, cookie)
		fmt.Println(t.Submission, err)
		if err := queue.Enqueue(ctx, t); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// the_first_click <nil>
	// the_second_click <nil>
}

// The handler serves a page for people. With ?format=json it serves a monitor: the
// status is 503 if a person has to act.
func ExampleStatusHandler() {
	queue := &memory{known: map[string]bool{"offer_1/submission_1": true}}
	mux := http.NewServeMux()
	mux.Handle("/admin/sparkloop", outbox.StatusHandler(queue)) // behind your own sign-in

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/admin/sparkloop?format=json", nil))
	var status struct {
		Healthy  bool
		Problems []string
		outbox.Stats
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
		fmt.Println(err)
	}
	fmt.Println(answer.Code, status.Healthy, len(status.Problems), status.Pending)
	// Output:
	// 503 false 1 1
}
