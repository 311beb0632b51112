package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/journal"
)

const (
	// workers call at the same time. The limit sets the pace; a few of them
	// keep one slow answer from holding up the rest.
	workers = 4

	// patience is for one call: its turn under the limit may be more than a
	// minute away, and so may that of each retry.
	patience = 5 * time.Minute

	// grace is for the calls under way when a signal stops the run.
	grace = 5 * time.Second

	// enough failures in a row, with no answer from SparkLoop among them, are
	// no matter of the single conversion any more. So many answers, all of them
	// "not found", are one of the columns.
	enough = 10
)

// tally is what came of the conversions that this run asked about.
type tally struct {
	mu      sync.Mutex
	n       map[result]int
	missing int // refused because the offer or the submission is not found
	inARow  int // failures since the last answer
	first   error
}

// answers counts what SparkLoop has settled.
func (t *tally) answers() int {
	return t.n[confirmedNow] + t.n[alreadyConfirmed] + t.n[refusedLine]
}

var errAllMissing = errors.New("the first 10 answers are all \"not found\"")

// confirmAll asks about every job, and returns why it stopped before the end if
// it did.
func (l *list) confirmAll(ctx context.Context, todo []*job) error {
	l.tally.n = make(map[result]int)
	stopProgress := l.showProgress(len(todo))
	defer func() { stopProgress() }()
	done := 0
	proven := l.flags.keepGoing || l.hasConfirmed()
	for done < len(todo) {
		batch := todo[done:]
		if !proven {
			batch = batch[:min(len(batch), enough-l.tally.answers())]
		}
		done += len(batch)
		if err := l.confirmBatch(ctx, batch); err != nil {
			return err
		}
		if proven || l.tally.answers() < enough && l.tally.missing == l.tally.answers() {
			continue
		}
		if l.tally.missing == l.tally.answers() && done < len(todo) {
			stopProgress()
			if !l.askToGoOn(ctx) {
				stopProgress = func() {}
				return fmt.Errorf("%w: check the columns (%s) and the account of the key; --keep-going continues anyway", errAllMissing, l.sheet.Columns)
			}
			stopProgress = l.showProgress(len(todo))
		}
		proven = true
	}
	return nil
}

// hasConfirmed reports whether an earlier run has confirmed something of this
// list: then the columns are right.
func (l *list) hasConfirmed() bool {
	for _, j := range l.jobs {
		if j.before && (j.result == confirmedNow || j.result == alreadyConfirmed) {
			return true
		}
	}
	return false
}

// askToGoOn asks the person at the terminal, if there is one.
func (l *list) askToGoOn(ctx context.Context) bool {
	if !isTerminal(l.in) || !isTerminal(l.err) {
		return false
	}
	fmt.Fprintf(l.err, "The first %d answers are all \"not found\". The columns are: %s. Continue? [y/N] ", enough, l.sheet.Columns)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(l.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case said := <-answer:
		return said == "y" || said == "yes"
	case <-ctx.Done():
		fmt.Fprintln(l.err)
		return false
	}
}

// confirmBatch asks about jobs, several at a time.
func (l *list) confirmBatch(ctx context.Context, batch []*job) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	calls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(batch) {
					return
				}
				if err := l.confirm(ctx, calls, batch[i]); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// confirm asks about one conversion. An error is a reason to ask about no more.
// When run ends, a call under way goes on until ctx does.
func (l *list) confirm(run, ctx context.Context, j *job) error {
	key := j.line.Tracking.Key()
	lost := l.journal.Asked(key) // by a run that was killed
	confirmation, trace, err := l.ask(run, ctx, j.line.Tracking)
	if trace.failed != nil {
		return trace.failed
	}
	lost = lost || trace.sent.Load() > trace.answered.Load()
	j.at = l.now()
	var failure error
	switch {
	case err == nil && confirmation.AlreadyConfirmed && lost:
		// The answer to an earlier try was lost: it was most likely the yes.
		j.result, j.reason = confirmedNow, "or before: the answer to an earlier try was lost"
		failure = l.journal.Note(key, journal.Answer{State: journal.Confirmed, Reason: j.reason, At: j.at})
	case err == nil && confirmation.AlreadyConfirmed:
		j.result, j.reason = alreadyConfirmed, ""
		failure = l.journal.Note(key, journal.Answer{State: journal.Already, At: j.at})
	case err == nil:
		j.result, j.reason = confirmedNow, ""
		failure = l.journal.Note(key, journal.Answer{State: journal.Confirmed, At: j.at})
	case sparkloop.Retryable(err):
		j.reason, j.at = whyLeft(err), time.Time{}
		if !lost {
			failure = l.journal.Left(key, l.now())
		}
	default:
		j.result, j.reason = refusedLine, whyRefused(err)
		failure = l.journal.Note(key, journal.Answer{State: journal.Refused, Reason: j.reason, At: j.at})
	}
	if failure != nil {
		return failure
	}
	return l.tally.add(j, err)
}

// trace follows the requests of a call.
type trace struct {
	begun          atomic.Bool // the first one goes out
	sent, answered atomic.Int64
	once           sync.Once
	failed         error // the journal's
}

// ask asks until there is another answer than that the limit is full, which it
// is when a shop or an earlier run on the same key has used it. The client has
// everybody pause then, so that asking again at once does no harm. The journal
// notes the first request when it goes out, after its turn under the limit.
func (l *list) ask(run, ctx context.Context, t sparkloop.Tracking) (*sparkloop.Confirmation, *trace, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tr := &trace{}
	defer context.AfterFunc(run, func() {
		if !tr.begun.Load() {
			cancel()
		}
	})()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			tr.once.Do(func() {
				tr.begun.Store(true)
				if tr.failed = l.journal.Ask(t.Key(), l.now()); tr.failed != nil {
					cancel()
				}
			})
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { tr.sent.Add(1) },
		GotFirstResponseByte: func() { tr.answered.Add(1) },
	})
	for {
		c, err := l.client.Conversions.Confirm(ctx, t)
		full := errors.Is(err, sparkloop.ErrRateLimited) && !errors.Is(err, context.DeadlineExceeded)
		if !full || longWait(err) > 0 || ctx.Err() != nil {
			return c, tr, err
		}
	}
}

// longWait is for how long SparkLoop asked to wait, if that is longer than the
// minute which the client waits by itself.
func longWait(err error) time.Duration {
	if wait, _ := sparkloop.RetryAfter(err); wait > time.Minute {
		return wait
	}
	return 0
}

// add counts a job and says whether it is worth going on.
func (t *tally) add(j *job, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return nil // the run has stopped already; this call was cut off with it
	}
	t.n[j.result]++
	if j.result != toBeTriedAgain {
		t.inARow = 0
		if errors.Is(err, sparkloop.ErrOfferNotFound) || errors.Is(err, sparkloop.ErrSubmissionNotFound) {
			t.missing++
		}
		return nil
	}
	if t.first == nil {
		t.first = err
	}
	t.inARow++
	return hopeless(err, t.inARow)
}

// hopeless says why the other calls would fail like this one, or nil.
func hopeless(err error, inARow int) error {
	wait := longWait(err)
	switch {
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return fmt.Errorf("SparkLoop rejects the API key: correct SPARKLOOP_API_KEY (%w)", err)
	case wait > 0:
		return fmt.Errorf("SparkLoop requests a pause: try again in %s", wait)
	case inARow >= enough:
		return fmt.Errorf("%d calls in a row failed, the last one with: %w", inARow, err)
	}
	return nil
}
