package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func (a *app) statsCommand(p *place) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "stats",
		Short: "Count the conversions, and report problems",
		Long: `Count the conversions by state, and report the problems that the status page shows.
The exit code is 1 if there is a problem. --output json prints the same JSON as the
status page.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return misused("unknown format %q: --output must be table or json", output)
			}
			return a.with(cmd, p, false, func(ctx context.Context, q outbox.Queue) error { return a.stats(ctx, q, output) })
		},
	}
	outputFlag(c, &output, "table", "json")
	return c
}

// answered is the response of an HTTP handler.
type answered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answered) Header() http.Header         { return w.header }
func (w *answered) WriteHeader(status int)      { w.status = status }
func (w *answered) Write(p []byte) (int, error) { return w.body.Write(p) }

// stats gets the figures and problems from the status page's handler.
func (a *app) stats(ctx context.Context, q outbox.Queue, output string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "/?format=json", http.NoBody)
	if err != nil {
		return failed(err)
	}
	w := &answered{header: make(http.Header)}
	outbox.StatusHandler(q).ServeHTTP(w, request)
	var status struct {
		Healthy  bool
		Problems []string
		outbox.Stats
	}
	if err := json.Unmarshal(w.body.Bytes(), &status); err != nil {
		return failed(fmt.Errorf("%s", strings.TrimSpace(w.body.String())))
	}
	if output == "json" {
		_, err = w.body.WriteTo(a.out)
	} else {
		err = statsTable(a.out, status.Stats, status.Problems)
	}
	switch {
	case err != nil:
		return failed(err)
	case !status.Healthy:
		return failed(nil)
	}
	return nil
}

func statsTable(w io.Writer, s outbox.Stats, problems []string) error {
	var text strings.Builder
	if !s.Time.IsZero() {
		lastDay := 0
		for _, n := range s.ConfirmedByHour {
			lastDay += n
		}
		t := newTable(&text)
		row := func(name string, n int, more string) { t.AppendRow(cells(name, strconv.Itoa(n), more)) }
		since := func(what string, at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return what + stamp(at)
		}
		row("pending", s.Pending, since("the oldest since ", s.OldestPending))
		row("confirmed", s.Confirmed, fmt.Sprintf("%d in the last 24 hours", lastDay))
		row("dead", s.Dead, since("the last dead or expired one at ", s.LastDied))
		row("expired", s.Expired, "")
		row("swept", s.Swept, "")
		t.Render()
		if !s.PausedSince.IsZero() {
			fmt.Fprintf(&text, "\nPaused since %s: %s\n", stamp(s.PausedSince), printable(s.PausedReason, 300))
		}
	}
	if len(problems) == 0 {
		text.WriteString("\nHealthy.\n")
	}
	for i, problem := range problems {
		if i == 0 && text.Len() > 0 {
			text.WriteString("\n")
		}
		text.WriteString(printable(problem, 400) + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (a *app) listCommand(p *place) *cobra.Command {
	var output string
	var limit int
	c := &cobra.Command{
		Use:       "list [STATE...]",
		Short:     "List conversions, newest first",
		Long:      "List conversions by state, newest first. Without a state, all states are listed.",
		Args:      stateArgs,
		ValidArgs: states,
		RunE: func(cmd *cobra.Command, args []string) error {
			write, err := entryFormat(output)
			if err != nil {
				return err
			}
			if limit < 1 {
				return misused("--limit must be 1 or more")
			}
			return a.with(cmd, p, false, func(ctx context.Context, q outbox.Queue) error {
				return a.entries(ctx, q, args, limit, write)
			})
		},
	}
	outputFlag(c, &output)
	c.Flags().IntVar(&limit, "limit", 50, "at most `N` of each state")
	return c
}

func (a *app) exportCommand(p *place) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:       "export [STATE...]",
		Short:     "Write all conversions as CSV or JSON",
		Long:      "Write all conversions as CSV or JSON, newest first. Without a state, all states are written.",
		Args:      stateArgs,
		ValidArgs: states,
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "table" {
				return misused("unknown format \"table\": --output must be csv or json")
			}
			write, err := entryFormat(output)
			if err != nil {
				return err
			}
			return a.with(cmd, p, false, func(ctx context.Context, q outbox.Queue) error {
				return a.entries(ctx, q, args, -1, write)
			})
		},
	}
	outputFlag(c, &output, "csv", "json")
	return c
}

// entries writes the conversions in the states: at most limit of each, or all
// if limit is negative.
func (a *app) entries(ctx context.Context, q outbox.Queue, in []string, limit int, write entryWriter) error {
	if len(in) == 0 {
		in = states
	}
	err := write(a.out, func(yield func(outbox.Entry, error) bool) {
		for _, state := range in {
			n := 0
			for e, err := range q.List(ctx, outbox.State(state)) {
				if n == limit {
					break
				}
				n++
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	})
	if err != nil {
		return failed(err)
	}
	return nil
}

func (a *app) showCommand(p *place) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "show ID | OFFER SUBMISSION",
		Short: "Show one conversion",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return misused("unknown format %q: --output must be table or json", output)
			}
			find, err := finder(args)
			if err != nil {
				return err
			}
			return a.with(cmd, p, false, func(ctx context.Context, q outbox.Queue) error {
				e, found, err := find(ctx, q)
				switch {
				case err != nil:
					return failed(err)
				case !found:
					return failed(fmt.Errorf("conversion %s is not in the queue", strings.Join(args, "/")))
				case output == "json":
					err = writeJSON(a.out, toRecord(e))
				default:
					err = showEntry(a.out, e)
				}
				if err != nil {
					return failed(err)
				}
				return nil
			})
		},
	}
	outputFlag(c, &output, "table", "json")
	return c
}

// finder finds a conversion by its IDs, or by its number.
func finder(args []string) (func(context.Context, outbox.Queue) (outbox.Entry, bool, error), error) {
	if len(args) == 2 {
		t := sparkloop.Tracking{Offer: args[0], Submission: args[1]}
		if err := t.Validate(); err != nil {
			return nil, &failure{exitUsage, err}
		}
		return func(ctx context.Context, q outbox.Queue) (outbox.Entry, bool, error) { return q.Lookup(ctx, t) }, nil
	}
	id, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return nil, misused("%q is not a number: give the conversion's ID in the queue, or OFFER and SUBMISSION", args[0])
	}
	return func(ctx context.Context, q outbox.Queue) (outbox.Entry, bool, error) {
		for _, state := range states {
			for e, err := range q.List(ctx, outbox.State(state)) {
				if err != nil || e.ID == id {
					return e, err == nil, err
				}
			}
		}
		return outbox.Entry{}, false, nil
	}, nil
}

// record is a conversion in machine-readable output.
type record struct {
	ID         int64     `json:"id"`
	State      string    `json:"state"`
	Offer      string    `json:"offer"`
	Submission string    `json:"submission"`
	CapturedAt time.Time `json:"captured_at,omitzero"`
	Attempts   int       `json:"attempts"`
	Reason     string    `json:"reason,omitempty"`
	EnqueuedAt time.Time `json:"enqueued_at"`
	DueAt      time.Time `json:"due_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

func toRecord(e outbox.Entry) record {
	return record{
		e.ID, string(e.State), e.Tracking.Offer, e.Tracking.Submission, e.Tracking.CapturedAt.UTC(),
		e.Attempts, e.Reason, e.EnqueuedAt.UTC(), e.DueAt.UTC(), e.FinishedAt.UTC(),
	}
}

func showEntry(w io.Writer, e outbox.Entry) error {
	var text strings.Builder
	t := newTable(&text)
	for _, row := range [][2]string{
		{"ID", strconv.FormatInt(e.ID, 10)}, {"state", string(e.State)}, {"offer", e.Tracking.Offer}, {"submission", e.Tracking.Submission},
		{"captured", stamp(e.Tracking.CapturedAt)}, {"enqueued", stamp(e.EnqueuedAt)}, {"due", stamp(e.DueAt)}, {"finished", stamp(e.FinishedAt)},
		{"attempts", strconv.Itoa(e.Attempts)}, {"reason", e.Reason},
	} {
		t.AppendRow(cells(row[0], printable(row[1], 2000)))
	}
	t.Render()
	_, err := io.WriteString(w, text.String())
	return err
}

// entryWriter writes conversions. It returns the error that all yields.
type entryWriter func(w io.Writer, all iter.Seq2[outbox.Entry, error]) error

func entryFormat(name string) (entryWriter, error) {
	switch name {
	case "table":
		return entryTable, nil
	case "csv":
		return entryCSV, nil
	case "json":
		return entryJSON, nil
	}
	return nil, misused("unknown format %q: --output must be table, json or csv", name)
}

func entryTable(w io.Writer, all iter.Seq2[outbox.Entry, error]) error {
	var text strings.Builder
	t := newTable(&text, "ID", "STATE", "OFFER", "SUBMISSION", "ATTEMPTS", "ENQUEUED", "REASON")
	n := 0
	for e, err := range all {
		if err != nil {
			return err
		}
		n++
		t.AppendRow(cells(
			strconv.FormatInt(e.ID, 10), string(e.State), printable(e.Tracking.Offer, maxID), printable(e.Tracking.Submission, maxID),
			strconv.Itoa(e.Attempts), stamp(e.EnqueuedAt), printable(e.Reason, 100),
		))
	}
	if n > 0 {
		t.Render()
		text.WriteString("\n")
	}
	text.WriteString(count(n, "conversion") + "\n")
	_, err := io.WriteString(w, text.String())
	return err
}

func entryCSV(w io.Writer, all iter.Seq2[outbox.Entry, error]) error {
	out := csv.NewWriter(w)
	out.Write([]string{"id", "state", "offer", "submission", "captured_at", "attempts", "reason", "enqueued_at", "due_at", "finished_at"}) //nolint:errcheck // Error has it
	for e, err := range all {
		if err != nil {
			out.Flush()
			return err
		}
		out.Write([]string{ //nolint:errcheck // likewise
			strconv.FormatInt(e.ID, 10), string(e.State), e.Tracking.Offer, e.Tracking.Submission, stamp(e.Tracking.CapturedAt),
			strconv.Itoa(e.Attempts), e.Reason, stamp(e.EnqueuedAt), stamp(e.DueAt), stamp(e.FinishedAt),
		})
	}
	out.Flush()
	return out.Error()
}

// entryJSON writes an array, one conversion per line, without holding it in
// memory.
func entryJSON(w io.Writer, all iter.Seq2[outbox.Entry, error]) error {
	between := "["
	for e, err := range all {
		if err != nil {
			return err
		}
		line, err := json.Marshal(toRecord(e))
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, between+"\n"+string(line)); err != nil {
			return err
		}
		between = ","
	}
	if between == "[" {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}
