package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// workers call at the same time. The limit sets the pace; a few of them
	// keep one slow answer from holding up the rest.
	workers = 4

	// patience is for one call: its turn under the limit may be more than a
	// minute away, and so may that of each retry.
	patience = 5 * time.Minute

	// enough failures in a row, with no answer from SparkLoop among them, are
	// no matter of the single conversion any more.
	enough = 10
)

// list is one run over a list of conversions.
type list struct {
	client         *sparkloop.Client
	paths          files
	scope          string
	stdout, stderr io.Writer

	journal *journal

	mu     sync.Mutex
	counts counts
	inARow int   // failures since the last answer
	first  error // the first failure, to be shown as an example
}

// counts are what came of the conversions that this run asked about.
type counts struct{ confirmed, already, refused, left int }

func (c counts) total() int { return c.confirmed + c.already + c.refused + c.left }

// run reads the list, confirms what is not done yet, and leaves the files and
// the summary.
func (l *list) run(ctx context.Context, stdin io.Reader) int {
	err := l.paths.check()
	if err == nil {
		l.journal, err = openJournal(l.paths.journal, l.scope)
	}
	if err != nil {
		fmt.Fprintln(l.stderr, "confirm:", err)
		return exitUsage
	}
	defer l.journal.close()

	if isTerminal(stdin) && isTerminal(l.stderr) {
		fmt.Fprintln(l.stderr, "Reading offer,submission lines from the keyboard; end them with Ctrl-D.")
	}
	text, err := readAll(ctx, stdin)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(l.stderr, "confirm: interrupted while reading the list; nothing was sent")
		return exitInterrupted
	case err != nil:
		fmt.Fprintf(l.stderr, "confirm: read the list: %v; nothing was sent\n", err)
		return exitIncomplete
	}
	in := parse(text)
	reportMalformed(l.stderr, in)
	stopped := l.confirmAll(ctx, l.todo(in))
	return l.finish(ctx, in, stopped)
}

// todo is what is still to be asked; the rest has its answer in the journal.
func (l *list) todo(in input) []*conversion {
	var todo []*conversion
	for _, c := range in.conversions {
		if c.state == left && !l.journal.recall(c) {
			todo = append(todo, c)
		}
	}
	return todo
}

// confirmAll asks about every conversion, and returns why it stopped before
// the end if it did.
func (l *list) confirmAll(ctx context.Context, todo []*conversion) error {
	if isTerminal(l.stderr) {
		defer showProgress(l.stderr, len(todo), l.soFar)()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(todo) {
					return
				}
				if err := l.confirm(ctx, todo[i]); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// confirm asks about one conversion. An error is a reason to ask about no more.
func (l *list) confirm(ctx context.Context, c *conversion) error {
	confirmation, err := l.ask(ctx, c.tracking)
	switch {
	case err == nil && confirmation.AlreadyConfirmed:
		c.state = already
	case err == nil:
		c.state = confirmed
	case sparkloop.Retryable(err):
		c.reason = whyLeft(err)
	default:
		c.state, c.reason = refused, whyRefused(err)
	}
	if failed := l.journal.note(c); failed != nil {
		return fmt.Errorf("the journal cannot be written: %w", failed)
	}
	return l.count(ctx, c.state, err)
}

// ask asks until there is another answer than that the limit is full, which it
// is when a shop or an earlier run on the same key has used it. The client has
// everybody pause then, so that asking again at once does no harm.
func (l *list) ask(ctx context.Context, t sparkloop.Tracking) (*sparkloop.Confirmation, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		confirmation, err := l.client.Conversions.Confirm(ctx, t)
		full := errors.Is(err, sparkloop.ErrRateLimited) && !errors.Is(err, context.DeadlineExceeded)
		if !full || longWait(err) > 0 || ctx.Err() != nil {
			return confirmation, err
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

// count adds to the counts and says whether it is worth going on.
func (l *list) count(ctx context.Context, s state, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s != left {
		l.inARow = 0
		switch s {
		case confirmed:
			l.counts.confirmed++
		case already:
			l.counts.already++
		default:
			l.counts.refused++
		}
		return nil
	}
	l.counts.left++
	if ctx.Err() != nil {
		return nil // the run has stopped already; this call was cut off with it
	}
	if l.first == nil {
		l.first = err
	}
	l.inARow++
	return hopeless(err, l.inARow)
}

// hopeless says why the other calls would fail like this one, or nil.
func hopeless(err error, inARow int) error {
	wait := longWait(err)
	switch {
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return errors.New("SparkLoop does not accept the key: look at SPARKLOOP_API_KEY")
	case wait > 0:
		return fmt.Errorf("SparkLoop asks to wait: try again in %s", wait)
	case inARow >= enough:
		return fmt.Errorf("%d calls in a row failed, the last one with: %w", inARow, err)
	}
	return nil
}

func (l *list) soFar() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// finish writes the files and the summary and finds the exit code.
func (l *list) finish(ctx context.Context, in input, stopped error) int {
	err := errors.Join(l.paths.writeRetry(in, l.journal), l.paths.writeRefused(in, l.journal))
	if err != nil {
		fmt.Fprintf(l.stderr, "confirm: %v\nRun the same command again: the journal knows what is done.\n", err)
	}
	sum := sumUp(in)
	sum.print(l.stdout, l.paths)
	if l.first != nil && stopped == nil {
		fmt.Fprintln(l.stderr, "confirm: the first failure:", l.first)
	}
	switch {
	case sum.left > 0 && ctx.Err() != nil:
		fmt.Fprintln(l.stderr, "confirm: interrupted. The same command goes on from here.")
		return exitInterrupted
	case sum.left > 0 && stopped != nil:
		fmt.Fprintf(l.stderr, "confirm: stopped early: %v. The same command goes on from here.\n", stopped)
		return exitIncomplete
	case sum.left > 0 || sum.refused > 0 || err != nil:
		return exitIncomplete
	}
	return exitDone
}
