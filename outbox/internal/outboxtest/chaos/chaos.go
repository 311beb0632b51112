// Package chaos kills processes, breaks databases and makes SparkLoop fail. It
// counts the lost and repeated conversions. Both engines run all of its stories,
// with real processes: the engine's test binary, started again (see Process).
//
// The short form is a part of the engines' tests. The full form takes minutes: set
// SPARKLOOP_CHAOS=full in the environment.
package chaos

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Engine is the interface of an engine to the stories.
type Engine struct {
	Name string

	// Processes is how many processes deliver at a time in stories with kills.
	Processes int

	// Open opens the queue in a database with its own connections. database is the
	// name from Fresh. The queue's Close closes the connections.
	Open func(ctx context.Context, database string, c *sparkloop.Client, o outbox.Options) (outbox.Queue, error)

	// Fresh creates a database for one test.
	Fresh func(t *testing.T) (database string)

	Trouble Trouble

	// OwnClock is true if the database has its own clock, which processes on several
	// hosts share.
	OwnClock bool
}

// Trouble is a fault of an engine's database while processes use it.
type Trouble struct {
	Name string

	// Fresh creates a separate database and a function that strikes it. The function
	// returns when the trouble is over.
	Fresh func(t *testing.T) (database string, strike func(ctx context.Context) error)

	// Refuses is true if Enqueue may fail during the trouble. The story repeats it.
	Refuses bool
}

// form is the size of the stories.
type form struct {
	conversions int
	kills       int
	every       time.Duration // between two kills, on average
	strikes     int
	step        time.Duration // of a moved clock
	limit       limit
	broken      int           // conversions that always get a 500
	many        int           // processes under one limit
	healthy     int           // conversions beside the broken ones, one a minute
	outage      time.Duration // of the API, for hosts whose clocks are wrong
	patience    time.Duration // longest wait for an expected event

	// hasty moves the queue's clock after the kills, instead of waiting for the end
	// of a dead process's claims.
	hasty bool
}

// limit is a run under the rate limit.
type limit struct {
	requests int
	window   time.Duration
	run      time.Duration // before the processes are killed, and again after it
	share    float64       // least used share of the limit; 0: nearly all slots
}

func formOf(name string) form {
	if name == "full" {
		return form{
			conversions: 5000,
			kills:       20,
			every:       2500 * time.Millisecond,
			strikes:     20,
			step:        time.Hour,
			limit:       limit{requests: 120, window: time.Minute, run: 100 * time.Second, share: 0.95},
			broken:      100,
			healthy:     60,
			many:        16,
			outage:      time.Minute,
			patience:    10 * time.Minute,
		}
	}
	return form{
		conversions: 200,
		kills:       4,
		every:       500 * time.Millisecond,
		strikes:     2,
		step:        6 * time.Hour,
		limit:       limit{requests: 60, window: 4 * time.Second, run: 2500 * time.Millisecond},
		broken:      10,
		healthy:     2,
		many:        3,
		patience:    2 * time.Minute,
		hasty:       true,
	}
}

// atATime bounds the stories that run at the same time.
const atATime = 3

// Run runs all stories, each in its own database, and prints a table of their
// figures.
func Run(t *testing.T, e Engine) {
	t.Helper()
	f := formOf(os.Getenv("SPARKLOOP_CHAOS"))
	table := new(table)
	turns := make(chan struct{}, atATime)
	t.Cleanup(table.print)
	for _, story := range []struct {
		name string
		tell func(w *world)
	}{
		{"workers killed", workersKilled},
		{"limit over 2 processes", func(w *world) { limited(w, 2) }},
		{"limit over 4 processes", func(w *world) { limited(w, 4) }},
		{"enqueuers killed", enqueuersKilled},
		{"openers killed", openersKilled},
		{e.Trouble.Name, troubled},
		{"API down for 3 days", apiDown},
		{"key wrong for a day", keyWrong},
		{"healthy beside broken", besideBroken},
		{"wrong clocks", wrongClocks},
		{"limit over many processes", func(w *world) { limited(w, w.form.many) }},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			w := newWorld(t, e, f)
			w.figures.story = story.name
			story.tell(w)
			for _, w := range []*world{w.beside, w} {
				if w != nil {
					w.count()
					t.Log(w.figures)
					table.add(w.figures)
				}
			}
		})
	}
}
