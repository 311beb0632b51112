package riveroutbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

const (
	holdMax  = 8 * time.Second  // how long a worker keeps a job while the queue is paused
	storeMax = 10 * time.Second // how long it tries to write down an answer
	// jobMax is what these and one delivery take at most, and rescueAfter when
	// the process that took a job must be gone.
	jobMax      = 45 * time.Second
	rescueAfter = 60 * time.Second
	// written is when River has surely written down what a worker returned.
	written = 5 * time.Second
	// soon is how far ahead River lets a job be available that is not due yet.
	soon = 5 * time.Second
)

// conversion is what River keeps of a job.
type conversion struct{ sparkloop.Tracking }

func (conversion) Kind() string { return kind }

// output is what we keep of a job, in its metadata.
type output struct {
	State    outbox.State `json:"state,omitempty"` // of one that is dead or expired
	Attempts int          `json:"attempts"`
	Reason   string       `json:"reason,omitempty"`
	Tried    int64        `json:"tried,omitempty"` // when last, in milliseconds
}

func (o *Outbox) outputOf(e outbox.Entry) output {
	out := output{
		Attempts: e.Attempts,
		Reason:   strings.ReplaceAll(e.Reason, "\x00", ""), // which jsonb does not take
		Tried:    o.o.Now().UnixMilli(),
	}
	if e.State != outbox.Pending {
		out.State = e.State
	}
	return out
}

// newRiver is a River client that fetches jobs and runs workers. Its leader, who
// schedules, rescues and cleans up, is not wanted: see upkeep.
func (o *Outbox) newRiver(pollOnly bool) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{o: o}); err != nil {
		return nil, err
	}
	config := &river.Config{
		ID:                     rand.Text()[:8], // of which up to 100 stand in a job's row
		Schema:                 o.schema,
		Queues:                 map[string]river.QueueConfig{queue: {MaxWorkers: o.o.Workers}},
		Workers:                workers,
		FetchOnlyKnownKinds:    true,
		FetchCooldown:          20 * time.Millisecond, // a fetch brings no more than workers are free
		FetchPollInterval:      o.beat,
		PollOnly:               pollOnly,
		JobTimeout:             jobMax,
		RetryPolicy:            retryPolicy{o},
		LeaderElectionDisabled: true,
		Logger:                 o.log,
	}
	if o.stub != nil {
		config.Test.Time = clock(o.stub)
	}
	return river.NewClient(riverpgxv5.New(o.pool), config)
}

// clock has River use Options.Now instead of the database's clock.
type clock func() time.Time

func (c clock) Now() time.Time { return c() }

func (c clock) NowOrNil() *time.Time {
	now := c().UTC()
	return &now
}

// retryPolicy is for a worker that panicked, and for a row that cannot be read.
type retryPolicy struct{ o *Outbox }

func (p retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	pause := p.o.o.RetryMax
	if n := len(job.Errors); n < 62 && p.o.o.RetryMin <= pause>>n {
		pause = p.o.o.RetryMin << n
	}
	return p.o.o.Now().Add(pause)
}

type worker struct {
	river.WorkerDefaults[conversion]
	o *Outbox
}

// Work delivers a conversion. An answer it writes down by itself, because River
// would do that only after it has returned, in a batch, and the hooks are for what
// is in the database. A failure is a snooze, which costs no attempt and leaves
// nothing in the row's list of errors.
func (w *worker) Work(ctx context.Context, job *river.Job[conversion]) error {
	o := w.o
	o.inFlight.Store(job.ID, time.Time{})
	defer func() { o.inFlight.Store(job.ID, time.Now()) }()

	e, tried, err := entryOf(job)
	if err != nil {
		return err
	}
	v := o.deliver(ctx, e, tried)
	pause := max(0, v.Entry.DueAt.Sub(o.o.Now()))
	switch {
	case !v.Sent && ctx.Err() != nil:
		return river.JobSnooze(0)
	case !v.Sent:
		return river.JobSnooze(min(pause, soon)) // it may come back earlier than it could go
	case v.Entry.State == outbox.Pending:
		o.policy.Stored(ctx, v.Entry)
		if err := river.RecordOutput(ctx, o.outputOf(v.Entry)); err != nil {
			return err
		}
		return river.JobSnooze(pause)
	}
	stored, err := o.finish(ctx, v.Entry)
	if err != nil {
		o.o.Logger.WarnContext(ctx, "sparkloop outbox: an answer could not be stored, the conversion will be sent again",
			slog.Int64("id", e.ID), slog.Any("error", err))
		return river.JobSnooze(time.Second)
	}
	if stored {
		o.policy.Stored(ctx, v.Entry)
	}
	if v.Entry.State == outbox.Confirmed {
		return nil
	}
	// River now writes what we return, if the job is running. It is not, unless
	// it was redriven and taken this moment: then that must go on.
	return river.JobSnooze(0)
}

// entryOf is what the outbox calls an entry, and when it was tried last.
func entryOf(job *river.Job[conversion]) (e outbox.Entry, tried int64, err error) {
	var out struct {
		Output output `json:"output"`
	}
	if err := json.Unmarshal(job.Metadata, &out); err != nil {
		return outbox.Entry{}, 0, err
	}
	return outbox.Entry{
		ID:         job.ID,
		Tracking:   job.Args.Tracking,
		State:      outbox.Pending,
		Attempts:   out.Output.Attempts,
		Reason:     out.Output.Reason,
		EnqueuedAt: job.CreatedAt.UTC(),
		DueAt:      job.ScheduledAt.UTC(),
	}, out.Output.Tried, nil
}

// deliver asks SparkLoop, while the queue is not paused. While it is, it holds
// the job for some seconds: a paused queue then moves through its jobs slowly, and
// one of those held is the probe.
func (o *Outbox) deliver(ctx context.Context, e outbox.Entry, tried int64) delivery.Verdict {
	until := time.Now().Add(holdMax)
	for o.mayGo(ctx, e.ID, tried, until) {
		v := o.policy.Deliver(ctx, e)
		if v.Sent || ctx.Err() != nil || time.Now().After(until) {
			return v
		}
		if _, probing, err := o.policy.Ready(ctx); err != nil || !probing {
			return v
		}
	}
	e.DueAt = o.o.Now().Add(soon)
	return delivery.Verdict{Entry: e}
}

// mayGo waits, while the queue is paused, until this job may be the probe. It is
// false if the job is to be given back. Of all that are held, here and in other
// processes, the one that was tried longest ago goes first, and the next ones
// a little later, should that one's process be gone.
func (o *Outbox) mayGo(ctx context.Context, id, tried int64, until time.Time) bool {
	for inLine := false; ; {
		wait, probing, err := o.policy.Ready(ctx)
		if err != nil || !probing {
			return true // Deliver finds out what is wrong
		}
		pause := o.beat
		if wait <= 0 {
			if inLine {
				return true
			}
			before, err := o.before(ctx, id, tried)
			if err != nil || before == 0 {
				return true
			}
			pause *= time.Duration(before)
		}
		inLine = wait <= 0
		select {
		case <-time.After(min(pause, time.Until(until))):
		case <-ctx.Done():
			return false
		case <-o.closing:
			return false
		}
		if !time.Now().Before(until) {
			return false
		}
	}
}

// before counts the jobs that are held and were tried before this one.
func (o *Outbox) before(ctx context.Context, id, tried int64) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	return n, o.pool.QueryRow(ctx, o.statement(`
		SELECT count(*) FROM {schema}.river_job
		WHERE queue = '`+queue+`' AND state = 'running'
			AND (coalesce((metadata->'output'->>'tried')::bigint, 0), id) < ($2::bigint, $1::bigint)`), id, tried).Scan(&n)
}

// finish writes an answer down and says whether this process was the first. A
// yes goes over everything and a no over what is open, whoever works on it by
// now. Where the same stands there already, an earlier try got through and only
// its result was lost.
func (o *Outbox) finish(ctx context.Context, e outbox.Entry) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeMax)
	defer cancel()
	out, err := json.Marshal(o.outputOf(e))
	if err != nil {
		return false, err
	}
	final := rivertype.JobStateCancelled
	if e.State == outbox.Confirmed {
		final = rivertype.JobStateCompleted
	}
	for {
		tag, err := o.pool.Exec(ctx, o.statement(`
			UPDATE {schema}.river_job
			SET state = $2::text::{schema}.river_job_state, finalized_at = $3::timestamptz,
				metadata = metadata || jsonb_build_object('output', $4::text::jsonb)
			WHERE id = $1::bigint AND (finalized_at IS NULL
				OR state <> 'completed' AND $2::text = 'completed'
				OR state = $2::text::{schema}.river_job_state AND finalized_at = $3::timestamptz)`),
			e.ID, string(final), e.FinishedAt.UTC().Truncate(time.Microsecond), string(out))
		if err == nil {
			return tag.RowsAffected() > 0, nil
		}
		select {
		case <-ctx.Done():
			return false, err
		case <-time.After(o.beat):
		}
	}
}
