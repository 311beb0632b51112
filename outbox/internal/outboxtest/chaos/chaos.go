// Package chaos kills processes, breaks databases and has SparkLoop fail, and
// counts what becomes of the conversions. Both engines run all of its stories,
// with real processes: the engine's test binary, started again (see Process).
//
// There is a short form, a part of the engines' tests, and a full one, minutes
// long, with SPARKLOOP_CHAOS=full in the environment.
package chaos

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Engine is what the stories need of an engine.
type Engine struct {
	Name string

	// Processes deliver at a time where they are killed.
	Processes int

	// Open opens the queue in a database, by the name that Fresh returned, with
	// connections of its own, which the queue's Close closes.
	Open func(ctx context.Context, database string, c *sparkloop.Client, o outbox.Options) (outbox.Queue, error)

	// Fresh makes a database that lives as long as the test.
	Fresh func(t *testing.T) (database string)

	Trouble Trouble

	// OwnClock says that the database has a clock of its own, which processes on
	// several hosts share.
	OwnClock bool
}

// Trouble is what may befall an engine's database while its processes live.
type Trouble struct {
	Name string

	// Fresh makes a database of its own, and the function that strikes it and
	// returns when the trouble is over.
	Fresh func(t *testing.T) (database string, strike func(ctx context.Context) error)

	// Refuses says that Enqueue may fail at once meanwhile, and is repeated.
	Refuses bool
}

// form is how large the stories are.
type form struct {
	conversions int
	kills       int
	every       time.Duration // between two kills, on average
	strikes     int
	step        time.Duration // by which a moved clock is moved at a time
	limit       limit
	broken      int           // conversions that always get a 500
	many        int           // processes under one limit
	healthy     int           // that come in beside them, one a minute
	outage      time.Duration // of the API, for hosts whose clocks are wrong
	patience    time.Duration // for what must happen

	// hasty moves the queue's clock when all kills are done, in place of
	// waiting for a dead process's claims to end.
	hasty bool
}

// limit is a run under the rate limit.
type limit struct {
	requests int
	window   time.Duration
	run      time.Duration // before the processes are killed, and again after it
	share    float64       // of the limit, to be used at least; 0: nearly what its rule gives
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

// atATime is how many stories are told at the same time, at most.
const atATime = 3

// Run tells all stories, each in a database of its own, and prints a table of
// their figures.
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
