package sqliteoutbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

const (
	// storeMax is how long a worker tries to store an answer.
	storeMax = 25 * time.Second
	// pollSoon and pollIdle bound the interval of polling, for conversions from
	// other processes and from transactions.
	pollSoon = 2 * time.Millisecond
	pollIdle = time.Second
)

// start starts the workers, if this process delivers.
func (q *Outbox) start(delivers bool) {
	calls, abort := context.WithCancel(context.Background())
	running, stop := context.WithCancel(calls)
	q.stop, q.abort = stop, abort
	if !delivers {
		abort()
		close(q.stopped)
		return
	}
	var work sync.WaitGroup
	work.Go(func() { q.dispatch(running, calls) })
	work.Go(func() { q.policy.Background(running, engine{q}) })
	go func() {
		work.Wait()
		abort()
		close(q.stopped)
	}()
}

// rouse makes the dispatcher poll now, and soon again: a transaction may commit
// later.
func (q *Outbox) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// dispatch claims one conversion after the other, until running ends. Up to Workers
// deliveries run at a time. It returns when they are done.
func (q *Outbox) dispatch(running, calls context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	free := make(chan struct{}, q.o.Workers)
	poll := pollSoon
	var spell delivery.Spell
	for {
		select {
		case free <- struct{}{}:
		case <-running.Done():
			return
		}
		c, wait, err := q.next(running)
		if running.Err() != nil {
			if err == nil && wait == 0 {
				q.release(calls, c)
			}
			return
		}
		if err != nil && spell.Fails() || err == nil && spell.Works() {
			q.logDatabase(err)
		}
		if err == nil && wait == 0 {
			poll = pollSoon
			work.Go(func() {
				defer func() { <-free }()
				q.deliver(calls, c)
				q.rouse()
			})
			if c.probe != nil {
				work.Wait() // one probe at a time
			}
			continue
		}
		<-free
		if err != nil {
			wait, poll = pollIdle, pollIdle
		}
		timer := time.NewTimer(min(wait, poll))
		select {
		case <-timer.C:
			poll = min(2*poll, pollIdle)
		case <-q.wake:
			poll = pollSoon
		case <-running.Done():
		}
		timer.Stop()
	}
}

func (q *Outbox) logDatabase(err error) {
	if err == nil {
		q.o.Logger.Warn("sparkloop outbox: the database works again")
		return
	}
	q.o.Logger.Warn("sparkloop outbox: no delivery: the database fails", slog.Any("error", err))
}

// claim is a conversion that only this process may deliver, until the lease ends.
type claim struct {
	outbox.Entry
	until time.Time
	probe *delivery.Probe // nil unless it is a probe
}

// next claims a conversion, or returns how long to wait.
func (q *Outbox) next(ctx context.Context) (c claim, wait time.Duration, err error) {
	now := q.o.Now()
	first, wait, err := q.pick(ctx, now)
	if err != nil || first == nil && wait == pollIdle {
		return c, wait, err
	}
	plan, err := q.policy.Plan(ctx, q.waiting)
	switch {
	case err != nil || plan.Wait > 0:
		return c, plan.Wait, err
	case plan.Probe != nil:
		first = &plan.Probe.Entry
	case first == nil:
		return c, wait, nil
	}
	e := *first
	c = claim{e, now.Add(q.policy.Lease()), plan.Probe}
	ctx = context.WithoutCancel(ctx) // a canceled statement could leave a claim behind
	n, err := q.db.exec(ctx, "UPDATE sparkloop_conversions SET claimed = ?1 WHERE offer = ?2 AND submission = ?3 AND due = ?4 AND state = 0 AND "+q.free(now),
		c.until.UnixMilli(), e.Tracking.Offer, e.Tracking.Submission, e.DueAt.UnixMilli())
	q.turn++
	if err == nil && n == 0 {
		return c, pollSoon, nil // another process was faster
	}
	return c, 0, err
}

// release gives back a claimed conversion that will not be sent.
func (q *Outbox) release(ctx context.Context, c claim) {
	if _, err := q.record(context.WithoutCancel(ctx), c, delivery.Verdict{Entry: c.Entry}); err != nil {
		q.o.Logger.Warn("sparkloop outbox: a claim could not be released; the conversion is sent when the claim ends", slog.Any("error", err))
	}
}

// deliver sends a claimed conversion and stores the answer. If the database fails,
// it retries for storeMax. After that, the conversion is sent again, which is safe.
func (q *Outbox) deliver(ctx context.Context, c claim) {
	v := q.policy.Deliver(ctx, c.Entry, c.probe)
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeMax)
	defer cancel()
	for {
		n, err := q.record(record, c, v)
		if err == nil {
			if n > 0 && v.Sent {
				q.policy.Stored(record, v.Entry)
			}
			if v.Woken {
				q.wakeOffer(record, c.Tracking.Offer)
			}
			return
		}
		if permanent(err) {
			q.leaveOut(record, c.ID, 1, "its answer cannot be stored: "+err.Error())
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
			if ctx.Err() == nil {
				continue
			}
		case <-record.Done():
		}
		q.o.Logger.Warn("sparkloop outbox: an answer could not be stored; the conversion will be sent again",
			slog.String("conversion", c.Tracking.Key()), slog.Any("error", err))
		return
	}
}

// record stores a verdict by the conversion's key: in a restored database its ID
// may belong to another conversion. A final answer is stored without a claim too,
// and a confirmation overrides every earlier answer. A pending verdict is stored
// only with the claim.
func (q *Outbox) record(ctx context.Context, c claim, v delivery.Verdict) (int64, error) {
	e := v.Entry
	where := " WHERE offer = ? AND submission = ? AND state "
	switch {
	case e.State != outbox.Pending:
	case !v.Sent && !e.DueAt.After(q.o.Now()): // it keeps its place
		return q.db.exec(ctx, "UPDATE sparkloop_conversions SET claimed = 0"+where+"= 0 AND claimed = ?",
			e.Tracking.Offer, e.Tracking.Submission, c.until.UnixMilli())
	default:
		return q.db.exec(ctx, "UPDATE sparkloop_conversions SET lane = 5, due = ?, attempts = ?, reason = ?, claimed = 0"+where+"= 0 AND claimed = ?",
			e.DueAt.UnixMilli(), e.Attempts, e.Reason, e.Tracking.Offer, e.Tracking.Submission, c.until.UnixMilli())
	}
	state, err := number(e.State)
	if err != nil {
		return 0, err
	}
	open := "= 0"
	if e.State == outbox.Confirmed {
		open = "<> 1"
	}
	return q.db.exec(ctx, "UPDATE sparkloop_conversions SET state = ?, attempts = ?, reason = ?, finished = ?, claimed = 0"+where+open,
		state, e.Attempts, e.Reason, e.FinishedAt.UnixMilli(), e.Tracking.Offer, e.Tracking.Submission)
}
