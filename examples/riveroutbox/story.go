package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func tellStory(ctx context.Context, databaseURL string, out io.Writer) error {
	return story.Tell(ctx, out, func(s *story.Story) {
		if databaseURL == "" {
			s.Printf("\nDATABASE_URL is not set: the story starts a private PostgreSQL.\n")
			cluster, err := pgtest.Start(ctx)
			if errors.Is(err, pgtest.ErrNotInstalled) {
				err = fmt.Errorf("%w\nInstall PostgreSQL (Debian: apt-get install postgresql; macOS: brew install postgresql), or set DATABASE_URL "+
					"to a database in which the story may create and drop the schemas %s and %s", err, shopSchema, outboxSchema)
			}
			story.Check(err)
			s.Cleanup(cluster.Close)
			databaseURL = cluster.URL()
		}
		pool := story.Must(pgxpool.New(ctx, databaseURL))
		s.Cleanup(func() error { pool.Close(); return nil })
		var taken bool
		story.Check(pool.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_namespace WHERE nspname IN ($1, $2)`, shopSchema, outboxSchema).Scan(&taken))
		if taken {
			story.Check(fmt.Errorf("the database has a schema %s or %s, from another story that still runs or was killed. Drop both if you do not need them", shopSchema, outboxSchema))
		}
		s.Cleanup(func() error {
			_, err := pool.Exec(context.WithoutCancel(ctx), `DROP SCHEMA IF EXISTS `+shopSchema+`, `+outboxSchema+` CASCADE`)
			return err
		})
		tell(s, databaseURL, pool)
	})
}

// tell plays purchases, with a web process and a worker.
func tell(s *story.Story, databaseURL string, pool *pgxpool.Pool) {
	start := func(args ...string) *story.Process {
		p := story.Must(story.StartProcess(s.Ctx, []string{
			"DATABASE_URL=" + databaseURL,
			"SPARKLOOP_API_KEY=" + sparklooptest.APIKey,
			"SPARKLOOP_BASE_URL=" + s.API.URL(),
		}, args...))
		s.Cleanup(p.End)
		return p
	}
	s.Step("Two processes: one for the web, which only enqueues, and a worker, which delivers")
	worker := start("worker")
	web := start("-addr", "127.0.0.1:0", "web")
	s.Printf("   web     process %d, %s\n   worker  process %d\n", web.PID(), web.Said, worker.PID())
	// This process only looks into the queue.
	queue := story.Must(riveroutbox.Open(s.Ctx, pool, s.Client, riveroutbox.Options{
		Options: outbox.Options{Workers: -1, Logger: slog.New(slog.DiscardHandler)},
		Schema:  outboxSchema,
	}))
	// buys has a new reader click, land and buy.
	buys := func(card string) sparkloop.Tracking {
		v := s.Visitor()
		v.Click("", web.Said).OK()
		answer := v.Submit(web.Said+"buy", url.Values{"card": {card}})
		s.Printf("   web     %s: %s\n", answer.Status, answer.Body)
		return v.Tracking
	}

	s.Step("A reader buys: the order and its conversion are committed in one transaction")
	s.Settled(queue, buys("good"))

	s.Step("A card is declined: the order is rolled back, and its conversion with it")
	_, found, err := queue.Lookup(s.Ctx, buys("declined"))
	story.Check(err)
	s.Printf("   the conversion is in the queue: %t\n", found)

	s.Step("The worker is killed with signal 9, and three readers buy")
	story.Check(worker.Kill())
	bought := []sparkloop.Tracking{buys("good"), buys("good"), buys("good")}
	s.Printf("   … %d pending\n", story.Must(queue.Stats(s.Ctx)).Pending)
	worker = start("worker")
	s.Printf("   worker  process %d starts, and sends one each half second: 120 a minute, for all processes together\n", worker.PID())
	s.Settled(queue, bought...)

	s.Step("The figures")
	stats := story.Must(queue.Stats(s.Ctx))
	s.Printf("   pending %d, confirmed %d, dead %d, expired %d, swept %d\n", stats.Pending, stats.Confirmed, stats.Dead, stats.Expired, stats.Swept)
	s.Printf("\nA worker that is killed while it waits for an answer costs a minute: another one then sends the\n" +
		"conversion again, and SparkLoop counts it once. The purchase is in examples/riveroutbox/shop.go.\n\n")
}
