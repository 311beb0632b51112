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
	// workers is the number of concurrent calls. The rate limit sets the pace;
	// with several workers one slow answer does not delay the others.
	workers = 4

	// patience limits one call. Its turn under the rate limit, and that of each
	// retry, may be more than a minute away.
	patience = 5 * time.Minute

	// grace is the time for running calls after a signal.
	grace = 5 * time.Second

	// enough consecutive failures without an answer from SparkLoop are not
	// about single conversions. If all of the first answers are "not found",
	// the columns are probably wrong.
	enough = 10
)

// tally counts the results of the conversions that this run sent.
type tally struct {
	mu      sync.Mutex
	n       map[result]int
	missing int // refused because the offer or the submission is not found
	inARow  int // failures since the last answer
	first   error
}

// answers returns the number of final answers.
func (t *tally) answers() int {
	return t.n[confirmedNow] + t.n[alreadyConfirmed] + t.n[refusedLine]
}

var errAllMissing = errors.New("the first 10 answers are all \"not found\"")

// confirmAll sends every job. It returns the reason if it stops before the end.
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

// hasConfirmed reports whether an earlier run confirmed a line of this list,
// which proves the columns.
func (l *list) hasConfirmed() bool {
	for _, j := range l.jobs {
		if j.before && (j.result == confirmedNow || j.result == alreadyConfirmed) {
			return true
		}
	}
	return false
}

// askToGoOn lets the user at a terminal decide whether to continue.
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

// confirmBatch sends jobs, several at a time.
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

// confirm sends one conversion. An error means: send no more. After run ends, a
// running call continues until ctx ends.
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
		// An earlier attempt without an answer has most likely confirmed it.
		j.result, j.reason = confirmedNow, "possibly before: the answer to an earlier attempt was lost"
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

// trace observes the requests of a call.
type trace struct {
	begun          atomic.Bool // the first request goes out
	sent, answered atomic.Int64
	once           sync.Once
	failed         error // error of the journal
}

// ask sends a conversion, and retries while the rate limit is full because
// other programs use the same key. The client pauses all calls after a 429, so
// an immediate retry does no harm. The journal records the first request when
// it goes out, after its turn under the limit.
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

// longWait returns the pause that SparkLoop requests, if it exceeds the minute
// that the client waits by itself.
func longWait(err error) time.Duration {
	if wait, _ := sparkloop.RetryAfter(err); wait > time.Minute {
		return wait
	}
	return 0
}

// add counts a job. It returns an error if the run should stop.
func (t *tally) add(j *job, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return nil // the run has already stopped, and with it this call
	}
	t.n[j.result]++
	if j.result != toBeTried {
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

// hopeless returns the reason why other calls would fail too, or nil.
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
