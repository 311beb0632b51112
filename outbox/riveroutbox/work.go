package riveroutbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"strconv"
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
	holdMax  = 8 * time.Second  // how long a worker holds a job while the queue is paused
	storeMax = 10 * time.Second // how long a worker tries to store an answer
	// written is a time within which River has stored a worker's result.
	written = 5 * time.Second
	// unstorable is the pause after an answer that the database rejects.
	unstorable = 5 * time.Minute
	// soon is the time before its due time at which River makes a job available.
	soon = 5 * time.Second
)

// conversion is the type of a job's arguments.
type conversion struct{ sparkloop.Tracking }

func (conversion) Kind() string { return kind }

// output is our part of a job's metadata.
type output struct {
	State    outbox.State `json:"state,omitempty"` // empty while pending
	Attempts int          `json:"attempts"`
	Reason   string       `json:"reason,omitempty"`

	// Quoted marks a Reason that is quoted in Go's syntax, in ASCII: the database's
	// encoding may lack a character, and jsonb rejects NUL.
	Quoted bool `json:"quoted,omitempty"`
}

// reason returns the Reason without quotes.
func (out output) reason() string {
	if text, err := strconv.Unquote(out.Reason); out.Quoted && err == nil {
		return text
	}
	return out.Reason
}

func outputOf(e outbox.Entry) output {
	out := output{
		Attempts: e.Attempts,
		Reason:   e.Reason,
	}
	if quoted := strconv.QuoteToASCII(e.Reason); quoted != `"`+e.Reason+`"` {
		out.Reason, out.Quoted = quoted, true
	}
	if e.State != outbox.Pending {
		out.State = e.State
	}
	return out
}

// newRiver returns a River client that fetches jobs and runs workers. upkeep
// replaces its leader, which schedules, rescues and cleans up.
func (o *Outbox) newRiver(pollOnly bool) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{o: o}); err != nil {
		return nil, err
	}
	config := &river.Config{
		ID:                     rand.Text()[:8], // short: a job's row holds up to 100 of them
		Schema:                 o.schema,
		Queues:                 map[string]river.QueueConfig{queue: {MaxWorkers: o.o.Workers}},
		Workers:                workers,
		FetchOnlyKnownKinds:    true,
		FetchCooldown:          20 * time.Millisecond, // each fetch returns at most as many jobs as workers are free
		FetchPollInterval:      o.beat,
		PollOnly:               pollOnly,
		JobTimeout:             o.jobMax(),
		RetryPolicy:            retryPolicy{o},
		LeaderElectionDisabled: true,
		Logger:                 o.log,
	}
	config.Test.Time = clock{o}
	return river.NewClient(riverpgxv5.New(o.db.pool), config)
}

// jobMax returns the longest time that a worker takes for a job.
func (o *Outbox) jobMax() time.Duration { return holdMax + o.policy.Lease() + storeMax }

// rescueAfter returns the time after which a job's process must be gone.
func (o *Outbox) rescueAfter() time.Duration { return o.jobMax() + 5*time.Second }

// clock makes River use the queue's clock.
type clock struct{ o *Outbox }

func (c clock) Now() time.Time { return c.o.policy.Now() }

// NowOrNil returns nil for the database's clock.
func (c clock) NowOrNil() *time.Time { return c.o.now() }

// retryPolicy is for workers that panicked, and for rows that cannot be read.
type retryPolicy struct{ o *Outbox }

func (p retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	pause := p.o.o.RetryMax
	if n := len(job.Errors); n < 62 && p.o.o.RetryMin <= pause>>n {
		pause = p.o.o.RetryMin << n
	}
	return p.o.policy.Now().Add(pause)
}

type worker struct {
	river.WorkerDefaults[conversion]
	o *Outbox
}

// Work delivers a conversion. It stores an answer itself: River would store it
// later, in a batch, and the hooks must run after the state is stored. A failure is
// a snooze, which costs no attempt and adds no error to the row.
func (w *worker) Work(ctx context.Context, job *river.Job[conversion]) error {
	o := w.o
	e, err := entryOf(job)
	if err != nil {
		return err
	}
	if o.policy.Holds(ctx) && !o.hold(ctx, e) {
		return river.JobSnooze(0) // already given back: River changes only running jobs
	}
	v := o.deliver(ctx, e, nil)
	if v.Entry.State == outbox.Pending {
		o.told(ctx, v, true)
		if v.Sent {
			if err := river.RecordOutput(ctx, outputOf(v.Entry)); err != nil {
				return err
			}
		}
		pause := max(0, v.Entry.DueAt.Sub(o.policy.Now()))
		if o.policy.Now().Sub(e.EnqueuedAt) > delivery.FreshFor {
			pause = max(pause, soon+time.Millisecond) // otherwise River puts it at the end of its lane
		}
		return river.JobSnooze(pause)
	}
	stored, err := o.record(ctx, v.Entry)
	if permanent(err) {
		return river.JobSnooze(min(o.o.RetryMax, unstorable))
	}
	if err != nil {
		return river.JobSnooze(time.Second)
	}
	o.told(ctx, v, stored)
	// River stores this result only if the job is running. If so, the job was
	// redriven just now, and must be delivered again.
	return river.JobSnooze(0)
}

// hold gives a job back and occupies its worker for some seconds while the queue is
// paused. So a paused queue fetches jobs slowly, and any process may choose any job
// as the probe. hold returns true if the pause is over and the job runs again.
func (o *Outbox) hold(ctx context.Context, e outbox.Entry) (again bool) {
	move := func(from, to, set string, at time.Time) bool {
		tag, err := o.db.Exec(context.WithoutCancel(ctx), in(o.schema, `
			UPDATE {schema}.river_job SET state = '`+to+`', `+set+` WHERE id = $1::bigint AND state = '`+from+`'`), e.ID, at.UTC())
		return err == nil && tag.RowsAffected() > 0
	}
	if !move("running", "retryable", `scheduled_at = $2::timestamptz, attempt = greatest(attempt - 1, 0)`, o.policy.Now().Add(holdMax+soon)) {
		return false
	}
	held := func() bool { return o.policy.Holds(ctx) }
	o.wait(ctx, holdMax, held)
	switch {
	case o.isClosing() || ctx.Err() != nil:
		move("retryable", "available", `scheduled_at = $2::timestamptz`, e.DueAt)
		return false
	case !held():
		if move("retryable", "running", `attempt = attempt + 1, attempted_at = $2::timestamptz`, o.policy.Now()) {
			return true
		}
	}
	// Another process may be sending it as the probe: wait for its end.
	o.wait(ctx, o.policy.Lease(), func() bool {
		var running bool
		err := o.db.scan(ctx, []any{&running}, in(o.schema, `SELECT state = 'running' FROM {schema}.river_job WHERE id = $1::bigint`), e.ID)
		return err == nil && running
	})
	return false
}

// wait returns after d, when the condition is false, or when the queue closes.
func (o *Outbox) wait(ctx context.Context, d time.Duration, condition func() bool) {
	for until := time.Now().Add(d); time.Now().Before(until) && condition(); {
		select {
		case <-time.After(o.beat):
		case <-ctx.Done():
			return
		case <-o.closing:
			return
		}
	}
}

// deliver delivers the conversion of a running job.
func (o *Outbox) deliver(ctx context.Context, e outbox.Entry, probe *delivery.Probe) delivery.Verdict {
	o.inFlight.Store(e.ID, time.Time{})
	defer func() { o.inFlight.Store(e.ID, time.Now()) }()
	v := o.policy.Deliver(ctx, e, probe)
	if !v.Sent && probe == nil && v.Entry.DueAt.Equal(e.DueAt) && !o.isClosing() {
		v.Entry.DueAt = o.policy.Now().Add(soon) // the queue is paused
	}
	return v
}

// told passes a stored verdict to the policy, and wakes an offer whose pause has
// ended.
func (o *Outbox) told(ctx context.Context, v delivery.Verdict, stored bool) {
	if stored && v.Sent {
		o.policy.Stored(ctx, v.Entry)
	}
	if !v.Woken {
		return
	}
	offer := v.Entry.Tracking.Offer
	if err := o.wakeOffer(context.WithoutCancel(ctx), offer); err != nil {
		o.o.Logger.WarnContext(ctx, "sparkloop outbox: an offer's waiting conversions could not be made due now; they are sent later", slog.String("offer", offer), slog.Any("error", err))
	}
}

func (o *Outbox) isClosing() bool {
	select {
	case <-o.closing:
		return true
	default:
		return false
	}
}

// entryOf returns a job as an entry.
func entryOf(job *river.Job[conversion]) (e outbox.Entry, err error) {
	var out struct {
		Output output `json:"output"`
	}
	if err := json.Unmarshal(job.Metadata, &out); err != nil {
		return outbox.Entry{}, err
	}
	return outbox.Entry{
		ID:         job.ID,
		Tracking:   job.Args.Tracking,
		State:      outbox.Pending,
		Attempts:   out.Output.Attempts,
		Reason:     out.Output.reason(),
		EnqueuedAt: job.CreatedAt.UTC(),
		DueAt:      job.ScheduledAt.UTC(),
	}, nil
}

// record stores a running job's verdict, and retries for storeMax. It reports
// whether the row changed.
func (o *Outbox) record(ctx context.Context, e outbox.Entry) (stored bool, err error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), storeMax)
	defer stop()
	write := o.finish
	if e.State == outbox.Pending {
		write = o.retry
	}
	for {
		if stored, err = write(ctx, e); err == nil {
			return stored, nil
		}
		if permanent(err) {
			stop() // another try would fail too
		}
		select {
		case <-ctx.Done():
			o.o.Logger.WarnContext(ctx, "sparkloop outbox: an answer could not be stored; the conversion will be sent again",
				slog.Int64("id", e.ID), slog.Any("error", err))
			return false, err
		case <-time.After(o.beat):
		}
	}
}

// retry gives a running job back until its due time.
func (o *Outbox) retry(ctx context.Context, e outbox.Entry) (bool, error) {
	out, err := json.Marshal(outputOf(e))
	if err != nil {
		return false, err
	}
	tag, err := o.db.Exec(ctx, o.statement(`
		UPDATE {schema}.river_job
		SET state = CASE WHEN $3::timestamptz <= {now} THEN 'available' ELSE 'retryable' END::{schema}.river_job_state,
			scheduled_at = $3::timestamptz, attempt = greatest(attempt - 1, 0),
			metadata = metadata || jsonb_build_object('output', $4::text::jsonb)
		WHERE id = $2::bigint AND state = 'running'`), o.now(), e.ID, e.DueAt.UTC(), string(out))
	return tag.RowsAffected() > 0, err
}

// finish stores an answer. A confirmation overrides every state; a refusal changes
// only an open job. Both ignore which process works on the job. If the row already
// has the same answer, an earlier try has stored it and only its result was lost.
const finish = `
	UPDATE {schema}.river_job
	SET state = $2::text::{schema}.river_job_state, finalized_at = $3::timestamptz,
		metadata = metadata || jsonb_build_object('output', $4::text::jsonb)
	WHERE id = $1::bigint AND unique_key = convert_to($5::text, 'UTF8') AND (finalized_at IS NULL
		OR state <> 'completed' AND $2::text = 'completed'
		OR state = $2::text::{schema}.river_job_state AND finalized_at = $3::timestamptz)`

func finishArgs(e outbox.Entry) ([]any, error) {
	out, err := json.Marshal(outputOf(e))
	final := rivertype.JobStateCancelled
	if e.State == outbox.Confirmed {
		final = rivertype.JobStateCompleted
	}
	return []any{e.ID, string(final), e.FinishedAt.UTC().Truncate(time.Microsecond), string(out), e.Tracking.Key()}, err
}

// finish stores a final answer. It reports whether this process stored it first.
func (o *Outbox) finish(ctx context.Context, e outbox.Entry) (bool, error) {
	args, err := finishArgs(e)
	if err != nil {
		return false, err
	}
	tag, err := o.db.Exec(ctx, o.statement(finish), args...)
	return tag.RowsAffected() > 0, err
}
