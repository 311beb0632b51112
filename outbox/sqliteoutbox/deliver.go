package sqliteoutbox

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

const (
	// storeMax is how long a worker tries to store an answer.
	storeMax = 25 * time.Second
	// pollSoon and pollIdle bound the time between two looks for what other
	// processes and transactions have enqueued.
	pollSoon = 2 * time.Millisecond
	pollIdle = time.Second
)

// start lets the workers begin, if this process delivers.
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

// rouse has the dispatcher look for work now and, as a transaction may still
// have to be committed, soon again.
func (q *Outbox) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// dispatch claims one conversion after the other and has up to Workers of them
// delivered at a time, until running ends. It returns when all of them are done.
func (q *Outbox) dispatch(running, calls context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	free := make(chan struct{}, q.o.Workers)
	poll := pollSoon
	failing := false
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
		if failing != (err != nil) {
			failing = err != nil
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
				work.Wait() // one at a time
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
		q.o.Logger.Warn("sparkloop outbox: the database is back")
		return
	}
	q.o.Logger.Warn("sparkloop outbox: no delivery: the database cannot be used", slog.Any("error", err))
}

// claim is a conversion that this process delivers, as long as the lease lasts.
type claim struct {
	outbox.Entry
	until time.Time
	probe *delivery.Probe // if the policy chose it
}

// next claims a conversion, or says how long there is nothing to do.
func (q *Outbox) next(ctx context.Context) (c claim, wait time.Duration, err error) {
	now := q.o.Now()
	e, found, err := q.first(ctx, "state = 0 ORDER BY due LIMIT 1")
	if err != nil || !found {
		return c, pollIdle, err
	}
	plan, err := q.policy.Plan(ctx, q.waiting)
	switch {
	case err != nil || plan.Wait > 0:
		return c, plan.Wait, err
	case plan.Probe != nil:
		e = plan.Probe.Entry
	case e.DueAt.After(now):
		return c, e.DueAt.Sub(now), nil
	}
	c = claim{e, now.Add(q.policy.Lease()), plan.Probe}
	ctx = context.WithoutCancel(ctx) // a statement that is broken off may have claimed all the same
	n, err := q.db.exec(ctx, "UPDATE sparkloop_conversions SET claimed = 1, due = ? WHERE offer = ? AND submission = ? AND state = 0 AND due = ?",
		c.until.UnixMilli(), e.Tracking.Offer, e.Tracking.Submission, e.DueAt.UnixMilli())
	if err == nil && n == 0 {
		wait = pollSoon // another process was faster
	}
	return c, wait, err
}

// waiting implements [delivery.Waiting].
func (q *Outbox) waiting(ctx context.Context, f delivery.Filter) ([]outbox.Entry, error) {
	condition, args := "state = 0 AND (claimed = 0 OR due <= ?)", []any{q.o.Now().UnixMilli()}
	if f.Offer != "" {
		condition += " AND offer = ?"
		args = append(args, f.Offer)
	}
	if len(f.Except) > 0 {
		condition += " AND offer NOT IN (?" + strings.Repeat(", ?", len(f.Except)-1) + ")"
		for _, offer := range f.Except {
			args = append(args, offer)
		}
	}
	order := " ORDER BY due"
	if f.Newest {
		order = " AND attempts = 0 ORDER BY due DESC"
	}
	return q.find(ctx, condition+order+" LIMIT "+strconv.Itoa(f.Limit), args...)
}

// wakeOffer makes due what waits of an offer.
func (q *Outbox) wakeOffer(ctx context.Context, offer string) {
	now := q.o.Now().UnixMilli()
	if _, err := q.db.exec(ctx, "UPDATE sparkloop_conversions SET due = ? WHERE state = 0 AND claimed = 0 AND due > ? AND offer = ?", now, now, offer); err != nil {
		q.o.Logger.Warn("sparkloop outbox: an offer goes on later", slog.String("offer", offer), slog.Any("error", err))
	}
}

// release gives back a conversion that was claimed and will not be sent.
func (q *Outbox) release(ctx context.Context, c claim) {
	if _, err := q.record(context.WithoutCancel(ctx), c, delivery.Verdict{Entry: c.Entry}); err != nil {
		q.o.Logger.Warn("sparkloop outbox: a conversion is delivered only when its claim is over", slog.Any("error", err))
	}
}

// deliver asks SparkLoop about a claimed conversion and stores what it says.
// When the database fails just then it tries again for as long as the claim
// holds; after that somebody asks again, which is safe.
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
		select {
		case <-time.After(100 * time.Millisecond):
			if ctx.Err() == nil {
				continue
			}
		case <-record.Done():
		}
		q.o.Logger.Warn("sparkloop outbox: an answer could not be stored; SparkLoop will be asked again",
			slog.String("conversion", c.Tracking.Key()), slog.Any("error", err))
		return
	}
}

// record stores a verdict, for the conversion and not for its id, which may be
// another's in a restored database. SparkLoop's answer is stored whoever holds the
// claim by now, and a yes whatever an earlier answer was. Anything else is stored
// only by the claim's holder.
func (q *Outbox) record(ctx context.Context, c claim, v delivery.Verdict) (int64, error) {
	e := v.Entry
	where := " WHERE offer = ? AND submission = ? AND state "
	if e.State == outbox.Pending {
		return q.db.exec(ctx, "UPDATE sparkloop_conversions SET due = ?, attempts = ?, reason = ?, claimed = 0"+
			where+"= 0 AND claimed = 1 AND due = ?",
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
