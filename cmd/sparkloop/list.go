package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/journal"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/sheet"
)

// result is the result of a line.
type result string

// Results, as in the report.
const (
	confirmedNow     result = "confirmed now"
	alreadyConfirmed result = "already confirmed"
	refusedLine      result = "refused"
	toBeTried        result = "to be tried again"
	notSent          result = "not sent"
	wouldBeSent      result = "would be sent" // in a dry run
)

// job is a line of the file and its result.
type job struct {
	line   sheet.Line
	same   *job // an earlier line with the same conversion, which is sent
	result result
	reason string
	at     time.Time // of SparkLoop's answer
	before bool      // answered in an earlier run
}

// list is one run over a file.
type list struct {
	*app
	flags  listFlags
	client *sparkloop.Client
	now    func() time.Time

	sheet   *sheet.Sheet
	jobs    []*job
	journal *journal.Journal
	tally   tally
}

// connect creates the client, which keeps the key's rate limit.
func (l *list) connect() (err error) {
	l.client, err = l.app.client()
	return err
}

// take decides for each line whether to send it.
func (l *list) take(in *sheet.Sheet, since time.Time) error {
	if !since.IsZero() && in.Time == "" {
		return misused("--since needs a column for the time, such as paid_at or created_at: name it with --time-column. The columns are %q", in.Header)
	}
	l.sheet = in
	first := make(map[string]*job)
	readable, unreadable := 0, 0
	for _, line := range in.Lines {
		j := &job{line: line, result: toBeTried, reason: notAsked}
		l.jobs = append(l.jobs, j)
		switch old := first[line.Tracking.Key()]; {
		case line.Err != nil:
			j.result, j.reason = refusedLine, "cannot be read: "+line.Err.Error()
		case line.Note != "":
			j.result, j.reason = notSent, line.Note
		case in.Unpaid(line):
			j.result, j.reason = notSent, fmt.Sprintf("not paid: %q is empty or negative", in.Time)
		case !since.IsZero() && line.TimeErr != nil:
			j.result, j.reason = refusedLine, fmt.Sprintf("cannot be read: %q: %v", in.Time, line.TimeErr)
			unreadable++
		case !since.IsZero() && line.Time.IsZero():
			j.result, j.reason = refusedLine, fmt.Sprintf("cannot be read: %q is empty", in.Time)
		case !since.IsZero() && line.Time.Before(since):
			j.result, j.reason = notSent, fmt.Sprintf("older than --since %s", l.flags.since)
			readable++
		case old != nil:
			j.same = old
		default:
			first[line.Tracking.Key()] = j
			readable++
		}
	}
	if unreadable > 0 && readable == 0 {
		return misused("nothing was sent: %q: %v. Choose another column with --time-column", in.Time, l.firstTimeErr())
	}
	return nil
}

func (l *list) firstTimeErr() error {
	for _, j := range l.jobs {
		if j.line.TimeErr != nil {
			return j.line.TimeErr
		}
	}
	return nil
}

// todo returns the jobs that are not settled in the journal.
func (l *list) todo() []*job {
	var todo []*job
	for _, j := range l.jobs {
		if j.result != toBeTried || j.same != nil {
			continue
		}
		a, known := l.journal.Answer(j.line.Tracking.Key())
		if !known {
			todo = append(todo, j)
			continue
		}
		j.before, j.at, j.reason = true, a.At, a.Reason
		switch a.State {
		case journal.Confirmed:
			j.result = confirmedNow
		case journal.Already:
			j.result = alreadyConfirmed
		default:
			j.result = refusedLine
		}
	}
	return todo
}

// run confirms what is not settled, and writes the report and the summary.
func (l *list) run(ctx context.Context, data []byte) error {
	unlock, err := lockAll(l.flags.from, l.flags.journal, l.flags.report)
	if err != nil {
		return misused("nothing was sent: %w. Choose other places with --journal and --report", err)
	}
	defer unlock()
	if err := checkReport(l.flags.report); err != nil {
		return misused("nothing was sent: %w", err)
	}
	l.journal, err = journal.Open(l.flags.journal, l.client.BaseURL(), l.getenv("SPARKLOOP_API_KEY"))
	if err != nil {
		return misused("nothing was sent: %w", err)
	}
	defer l.journal.Close()
	if err := l.journal.Begin(journal.Hash(data), l.now()); err != nil {
		return failed(fmt.Errorf("nothing was sent: %w", err))
	}
	fmt.Fprintf(l.err, "Reading %s.\n", l.sheet.Columns)
	l.warnOfLines()
	stopped := l.confirmAll(ctx, l.todo())
	return l.finish(ctx, stopped)
}

// finish writes the report and the summary, and returns the failure, if any.
func (l *list) finish(ctx context.Context, stopped error) error {
	for _, j := range l.jobs {
		if j.same != nil {
			j.result, j.at, j.before = j.same.result, j.same.at, j.same.before
			j.reason = fmt.Sprintf("the same conversion as in line %d", j.same.line.Number)
		}
	}
	err := l.writeReport()
	sum := sumUp(l.jobs)
	if sum.n[toBeTried] == 0 && err == nil {
		err = l.journal.Done(l.now())
	}
	sum.print(l.out, ofARun)
	if l.flags.report != "" && err == nil {
		fmt.Fprintf(l.out, "%s has a line for each.\n", l.flags.report)
	}
	if l.tally.first != nil && stopped == nil {
		fmt.Fprintf(l.err, "sparkloop: the first failure: %s\n", oneLine(l.tally.first))
	}
	switch {
	case err != nil:
		return failed(fmt.Errorf("%w. Run the same command again: the journal has the answers so far", err))
	case sum.n[toBeTried] > 0 && ctx.Err() != nil:
		return failed(errors.New("interrupted. Run the same command again to continue"))
	case stopped != nil:
		code := exitFailed
		if errors.Is(stopped, sparkloop.ErrUnauthorized) {
			code = exitUsage
		}
		return &failure{code, fmt.Errorf("stopped: %w. Run the same command again to continue", stopped)}
	case sum.n[toBeTried] > 0, sum.n[refusedLine] > 0:
		return failed(nil)
	}
	return nil
}

// dryRun prints what a run would send.
func (l *list) dryRun() error {
	fmt.Fprintf(l.out, "Reading %s.\n\n", l.sheet.Columns)
	l.warnOfLines()
	t := newTable(l.out, "LINE", "OFFER", "SUBMISSION", "TIME")
	send := 0
	for _, j := range l.jobs {
		if j.result != toBeTried || j.same != nil {
			continue
		}
		if send++; send <= 5 {
			t.AppendRow(cells(fmt.Sprint(j.line.Number), j.line.Tracking.Offer, j.line.Tracking.Submission, cmp.Or(stamp(j.line.Time), "-")))
		}
	}
	if send > 0 {
		t.Render()
		if send > 5 {
			fmt.Fprintf(l.out, "and %d more\n", send-5)
		}
		fmt.Fprintln(l.out)
	}
	for _, j := range l.jobs {
		switch {
		case j.same != nil:
			j.result, j.reason = notSent, "the same conversion as in an earlier line"
		case j.result == toBeTried:
			j.result, j.reason = wouldBeSent, ""
		}
	}
	sum := sumUp(l.jobs)
	sum.print(l.out, ofADryRun)
	fmt.Fprintln(l.out, "\nThis was a dry run: nothing was sent, and no file was written.")
	if sum.n[refusedLine] > 0 {
		return failed(nil)
	}
	return nil
}

// warnOfLines prints the first lines that cannot be read.
func (l *list) warnOfLines() {
	const most = 10
	n := 0
	for _, j := range l.jobs {
		if j.result != refusedLine || j.before {
			continue
		}
		if n++; n <= most {
			fmt.Fprintf(l.err, "Line %d is skipped: %s\n", j.line.Number, j.reason)
		}
	}
	if n > most {
		fmt.Fprintf(l.err, "and %d more lines\n", n-most)
	}
}
