package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/mikestefanello/backlite"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"maragu.dev/goqite"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

const (
	queueRounds  = 9
	queueWriters = 32
	queueJobs    = 20 // per writer and round
)

// Each call returns when its job is on disk, in WAL mode with synchronous=FULL,
// which survives a power cut.
const (
	mattnSettings   = "?_journal=WAL&_timeout=5000&_sync=FULL"
	moderncSettings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)"
)

// queue is a job queue in a SQLite file, used as its README shows.
type queue struct {
	name, module, driver string
	open                 func(ctx context.Context, path string) (add func(context.Context, sparkloop.Tracking) error, close func() error, err error)
}

var queues = []queue{
	{sdk, "", "modernc.org/sqlite", openOutbox},
	{"goqite", "maragu.dev/goqite", "mattn/go-sqlite3", openGoqite},
	{"backlite", "github.com/mikestefanello/backlite", "mattn/go-sqlite3", openBacklite},
	{"River on SQLite", "github.com/riverqueue/river", "modernc.org/sqlite", openRiver},
}

func openOutbox(ctx context.Context, path string) (func(context.Context, sparkloop.Tracking) error, func() error, error) {
	c, err := sparkloop.New("key_for_nobody")
	if err != nil {
		return nil, nil, err
	}
	q, err := sqliteoutbox.Open(ctx, path, c, outbox.Options{Workers: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	return q.Enqueue, func() error { return q.Close(context.WithoutCancel(ctx)) }, nil
}

// goqiteSchema is goqite's schema_sqlite.sql, which applications must run.
//
//go:embed goqite.sql
var goqiteSchema string

func openGoqite(ctx context.Context, path string) (func(context.Context, sparkloop.Tracking) error, func() error, error) {
	db, err := sql.Open("sqlite3", path+mattnSettings+"&_fk=true")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	if _, err := db.ExecContext(ctx, goqiteSchema); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	q := goqite.New(goqite.NewOpts{DB: db, Name: "conversions"})
	return func(ctx context.Context, t sparkloop.Tracking) error {
		return q.Send(ctx, goqite.Message{Body: []byte(t.Encode())})
	}, db.Close, nil
}

// conversion is a task of backlite and the arguments of a River job.
type conversion struct{ Tracking string }

func (conversion) Config() backlite.QueueConfig {
	return backlite.QueueConfig{Name: "conversions", MaxAttempts: 5, Backoff: time.Second, Timeout: time.Minute}
}
func (conversion) Kind() string { return "conversion" }

func openBacklite(ctx context.Context, path string) (func(context.Context, sparkloop.Tracking) error, func() error, error) {
	db, err := sql.Open("sqlite3", path+mattnSettings)
	if err != nil {
		return nil, nil, err
	}
	c, err := backlite.NewClient(backlite.ClientConfig{DB: db, ReleaseAfter: 10 * time.Minute, NumWorkers: 10, CleanupInterval: time.Hour})
	if err == nil {
		err = c.Install()
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	c.Register(backlite.NewQueue(func(context.Context, conversion) error { return nil }))
	return func(ctx context.Context, t sparkloop.Tracking) error {
		_, err := c.Add(conversion{t.Encode()}).Ctx(ctx).Save()
		return err
	}, db.Close, nil
}

func openRiver(ctx context.Context, path string) (func(context.Context, sparkloop.Tracking) error, func() error, error) {
	db, err := sql.Open("sqlite", "file:"+path+moderncSettings)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	driver := riversqlite.New(db)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	c, err := river.NewClient(driver, &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return func(ctx context.Context, t sparkloop.Tracking) error {
		_, err := c.Insert(ctx, conversion{t.Encode()}, nil)
		return err
	}, db.Close, nil
}

// burstTime is a queue's time per job in the bursts, and with a single writer.
type burstTime struct {
	name         string
	burst, alone []float64 // nanoseconds of a job, one per round
}

// measureQueues stores the same jobs in each queue, in random order in each
// round.
func measureQueues(ctx context.Context, rounds int) (all []burstTime, err error) {
	dir, err := os.MkdirTemp("", "sparkloop-benchmarks-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	adds := make([]func(context.Context, sparkloop.Tracking) error, len(queues))
	for i, q := range queues {
		add, closed, err := q.open(ctx, filepath.Join(dir, strings.ReplaceAll(q.name, " ", "-")+".db"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		defer func() { err = errors.Join(err, closed()) }()
		adds[i], all = add, append(all, burstTime{name: q.name})
	}
	var count atomic.Int64
	job := func(add func(context.Context, sparkloop.Tracking) error) error {
		return add(ctx, sparkloop.Tracking{Offer: "offer_1234abcd", Submission: fmt.Sprintf("submission_%016x", uint64(count.Add(1))*0x9e3779b97f4a7c15), CapturedAt: time.Now()})
	}
	for range rounds {
		for _, i := range rand.Perm(len(queues)) {
			failed := make([]error, queueWriters)
			var writers sync.WaitGroup
			began := time.Now()
			for w := range queueWriters {
				writers.Go(func() {
					for range queueJobs {
						failed[w] = errors.Join(failed[w], job(adds[i]))
					}
				})
			}
			writers.Wait()
			all[i].burst = append(all[i].burst, float64(time.Since(began).Nanoseconds())/(queueWriters*queueJobs))
			var alone []float64
			for range queueJobs {
				began := time.Now()
				failed = append(failed, job(adds[i]))
				alone = append(alone, float64(time.Since(began).Nanoseconds()))
			}
			all[i].alone = append(all[i].alone, median(alone))
			if err := errors.Join(failed...); err != nil {
				return nil, fmt.Errorf("%s: %w", queues[i].name, err)
			}
		}
	}
	return all, nil
}

// queueTable writes the queues' part of RESULTS.md.
func (r *report) queueTable(line func(format string, args ...any)) {
	line("\n## Storing a job in SQLite\n")
	line("%d writers store %d jobs each, and one writer %d, in %d rounds. All use WAL mode and synchronous=FULL. A call returns when its", queueWriters, queueJobs, queueJobs, len(r.queues[0].burst))
	line("job is on disk. The ratios are to this SDK in the same round.\n")
	line("| queue | version | driver | jobs a second, %d writers | time of a job, x this SDK | one writer, median call | x this SDK |\n| --- | --- | --- | --- | --- | --- | --- |", queueWriters)
	for i, q := range r.queues {
		version := "this repository"
		if queues[i].module != "" {
			version = strings.TrimPrefix(r.facts.versions[queues[i].module], "v")
		}
		line("| %s | %s | %s | %.0f | %s | %s | %s |", q.name, version, queues[i].driver, 1e9/median(q.burst), times(q.burst, r.queues[0].burst),
			time.Duration(median(q.alone)).Round(time.Microsecond), times(q.alone, r.queues[0].alone))
	}
}

func times(a, b []float64) string { return spread(figures{ratios: ratios(a, b)}) }

func ratios(a, b []float64) (all []float64) {
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	return all
}
