package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// story is the stage: a SparkLoop, a database, and the two processes.
type story struct {
	api         *sparklooptest.Server
	pool        *pgxpool.Pool
	queue       outbox.Queue // to look into: this process delivers nothing either
	env         []string     // of the processes
	web, worker *process

	out io.Writer
	n   int // of the last step
}

// tellStory plays it in a database of its own, or in the one at databaseURL.
func tellStory(ctx context.Context, databaseURL string, out io.Writer) (err error) {
	if databaseURL == "" {
		fmt.Fprint(out, "\nDATABASE_URL is not set: starting a PostgreSQL for this story.\n")
		cluster, err := pgtest.Start(ctx)
		if errors.Is(err, pgtest.ErrNotInstalled) {
			return fmt.Errorf("%w\nInstall PostgreSQL (on Debian: apt-get install postgresql; on macOS: brew install postgresql), or set DATABASE_URL "+
				"to a database in which this may make, and drop, the schemas %s and %s", err, shopSchema, outboxSchema)
		} else if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		databaseURL = cluster.URL()
	}
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	var taken bool
	err = pool.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_namespace WHERE nspname IN ($1, $2)`, shopSchema, outboxSchema).Scan(&taken)
	if err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("the database has a schema %s or %s: another story is being told there, or was broken off. Drop both if they are of no use", shopSchema, outboxSchema)
	}
	defer func() {
		_, dropErr := pool.Exec(context.WithoutCancel(ctx), `DROP SCHEMA IF EXISTS `+shopSchema+`, `+outboxSchema+` CASCADE`)
		err = errors.Join(err, dropErr)
	}()
	api, err := sparklooptest.Start()
	if err != nil {
		return err
	}
	defer api.Close()
	s := &story{api: api, pool: pool, out: out, env: []string{
		"DATABASE_URL=" + databaseURL,
		"SPARKLOOP_API_KEY=" + sparklooptest.APIKey,
		"SPARKLOOP_BASE_URL=" + api.URL(),
	}}
	return s.tell(ctx)
}

func (s *story) tell(ctx context.Context) (err error) {
	defer func() {
		for _, p := range []*process{s.web, s.worker} {
			if p != nil {
				err = errors.Join(err, p.end())
			}
		}
	}()
	for _, scene := range []func(context.Context) error{s.start, s.commit, s.rollback, s.kill, s.figures} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) start(ctx context.Context) (err error) {
	s.step("Two processes: one for the web, which only enqueues, and a worker, which delivers")
	if s.worker, err = startProcess(ctx, s.env, "worker"); err != nil {
		return err
	}
	if s.web, err = startProcess(ctx, s.env, "-addr", "127.0.0.1:0", "web"); err != nil {
		return err
	}
	s.queue, err = riveroutbox.Open(ctx, s.pool, s.api.Client(), riveroutbox.Options{
		Options: outbox.Options{Workers: -1, Logger: slog.New(slog.DiscardHandler)},
		Schema:  outboxSchema,
	})
	s.printf("   web     process %d, %s\n   worker  process %d\n", s.web.pid(), s.web.said, s.worker.pid())
	return err
}

func (s *story) commit(ctx context.Context) error {
	s.step("A reader buys: the order and its conversion are committed in one transaction")
	tracking, said, err := s.buys(ctx, "good")
	if err != nil {
		return err
	}
	s.printf("   web     %s\n", said)
	return s.settled(ctx, tracking)
}

func (s *story) rollback(ctx context.Context) error {
	s.step("A card is declined: the order is rolled back, and its conversion with it")
	tracking, said, err := s.buys(ctx, "declined")
	if err != nil {
		return err
	}
	_, found, err := s.queue.Lookup(ctx, tracking)
	s.printf("   web     %s\n   the conversion is in the queue: %t\n", said, found)
	return err
}

func (s *story) kill(ctx context.Context) error {
	s.step("The worker is killed with signal 9, and three readers buy")
	dead := s.worker
	s.worker = nil
	if err := dead.kill(); err != nil {
		return err
	}
	var all []sparkloop.Tracking
	for range 3 {
		tracking, said, err := s.buys(ctx, "good")
		if err != nil {
			return err
		}
		s.printf("   web     %s\n", said)
		all = append(all, tracking)
	}
	stats, err := s.queue.Stats(ctx)
	if err != nil {
		return err
	}
	s.printf("   … %d pending\n", stats.Pending)
	if s.worker, err = startProcess(ctx, s.env, "worker"); err != nil {
		return err
	}
	s.printf("   worker  process %d starts, and sends one each half second: 120 a minute, for all processes together\n", s.worker.pid())
	return s.settled(ctx, all...)
}

func (s *story) figures(ctx context.Context) error {
	stats, err := s.queue.Stats(ctx)
	s.step("The figures")
	s.printf("   pending %d, confirmed %d, dead %d, expired %d, swept %d\n\n", stats.Pending, stats.Confirmed, stats.Dead, stats.Expired, stats.Swept)
	s.printf("Had the worker been killed while it asked, another one would have asked again a minute later:\n" +
		"SparkLoop counts a conversion once. The purchase is in examples/riveroutbox/web.go.\n\n")
	return err
}

// buys has a new reader click, land and buy. It returns what the shop said.
func (s *story) buys(ctx context.Context, card string) (sparkloop.Tracking, string, error) {
	landing, tracking := s.api.Click("", s.web.said)
	jar, _ := cookiejar.New(nil) // never fails
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	if _, err := send(ctx, browser, http.MethodGet, landing, nil); err != nil {
		return tracking, "", err
	}
	said, err := send(ctx, browser, http.MethodPost, s.web.said+"buy", url.Values{"card": {card}})
	return tracking, said, err
}

func send(ctx context.Context, browser *http.Client, method, page string, form url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, page, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Status + ": " + strings.TrimSpace(string(body)), err
}

// settled waits for SparkLoop's answer about conversions, and prints it.
func (s *story) settled(ctx context.Context, all ...sparkloop.Tracking) error {
	for _, tracking := range all {
		var e outbox.Entry
		err := poll(ctx, func() (found bool, err error) {
			e, found, err = s.queue.Lookup(ctx, tracking)
			return found && e.State != outbox.Pending, err
		})
		if err != nil {
			return err
		}
		s.printf("   ✓ %s: %s\n", e.State, e.Reason)
	}
	return nil
}

func (s *story) step(title string) {
	s.n++
	s.printf("\n%d. %s\n", s.n, title)
}

func (s *story) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }
