package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/sheet"
)

// stdin is the file name of standard input.
const stdin = "-"

// listFlags are the flags of "sparkloop confirm" for --from.
type listFlags struct {
	from, report, journal string
	since, delimiter      string
	columns               sheet.Columns
	dryRun, keepGoing     bool
}

func (a *app) confirmCommand() *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use:   "confirm OFFER SUBMISSION | --from FILE",
		Short: "Confirm one conversion, or those of a file",
		Long: `Confirm one conversion by its two IDs, or all conversions of a CSV or TSV file.
It is safe to repeat: SparkLoop counts a conversion once.

The file needs a header. Columns are found by name: offer (offer_id, offer_uuid) and
submission (submission_id, submission_uuid), or tracking (the text of Tracking.Encode),
or landing_url (landing_page, url). Flags override the names. Without a header, or
with unknown names, nothing is sent. The delimiter is a comma, semicolon or tab. The
encoding is UTF-8, or UTF-16 with a byte order mark.

--since needs a column with a time, such as paid_at or created_at. A line with an
empty paid_at is an unpaid order and is not sent.

To continue an interrupted run, even after a crash, start the same command again.
A journal next to the file stores SparkLoop's answers. --report writes the result of
each line of the file.`,
		Example: `  sparkloop confirm offer_1234abcd submission_1234abcd
  sparkloop confirm --from orders.csv --since 45d --dry-run
  sparkloop confirm --from orders.csv --since 45d --report report.csv`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.from == "" && len(args) != 2:
				return errors.New("confirm: give OFFER and SUBMISSION, or --from FILE")
			case f.from != "" && len(args) > 0:
				return errors.New("confirm: give either IDs or --from, not both")
			}
			if f.from == "" {
				for _, name := range []string{"report", "journal", "since", "delimiter", "dry-run", "keep-going", "offer-column", "submission-column", "tracking-column", "url-column", "time-column"} {
					if cmd.Flags().Changed(name) {
						return fmt.Errorf("confirm: --%s needs --from", name)
					}
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.from == "" {
				return a.confirmOne(cmd.Context(), sparkloop.Tracking{Offer: args[0], Submission: args[1]})
			}
			return a.confirmList(cmd.Context(), f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "`file` with the conversions; - is standard input")
	flags.StringVar(&f.report, "report", "", "`file` for the result of each line")
	flags.StringVar(&f.journal, "journal", "", "`file` that stores SparkLoop's answers (default: the name of --from plus .journal)")
	flags.StringVar(&f.since, "since", "", "skip older lines: `AGE` is 45d, 6w, 36h or a date")
	flags.StringVar(&f.delimiter, "delimiter", "", "`NAME`: comma, semicolon or tab (default: detected from the header)")
	flags.StringVar(&f.columns.Offer, "offer-column", "", "`name` of the column with the offer's ID")
	flags.StringVar(&f.columns.Submission, "submission-column", "", "`name` of the column with the submission's ID")
	flags.StringVar(&f.columns.Tracking, "tracking-column", "", "`name` of the column with the encoded tracking")
	flags.StringVar(&f.columns.Landing, "url-column", "", "`name` of the column with the landing URL")
	flags.StringVar(&f.columns.Time, "time-column", "", "`name` of the column with the time")
	flags.BoolVar(&f.dryRun, "dry-run", false, "read the file, show what would be sent, and send nothing")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "continue even if the first 10 answers are all \"not found\"")
	return c
}

// confirmOne writes no files: its output is the result.
func (a *app) confirmOne(ctx context.Context, t sparkloop.Tracking) error {
	if sheet.Swapped(t.Offer, t.Submission) {
		return misused("nothing was sent: the IDs are swapped. The offer comes first: sparkloop confirm OFFER SUBMISSION")
	}
	if t.Offer == "" || t.Submission == "" {
		return misused("nothing was sent: an ID is empty")
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	confirmation, err := client.Conversions.Confirm(ctx, t)
	switch {
	case err != nil:
		return apiFailure(err)
	case confirmation.AlreadyConfirmed:
		fmt.Fprintf(a.out, "%s was already confirmed\n", t.Key())
	default:
		fmt.Fprintf(a.out, "%s is now confirmed\n", t.Key())
	}
	return nil
}

// confirmList confirms the conversions of a file.
func (a *app) confirmList(ctx context.Context, f listFlags) error {
	if err := f.complete(); err != nil {
		return err
	}
	l := &list{app: a, flags: f, now: time.Now}
	var since time.Time
	if f.since != "" {
		var err error
		if since, err = sheet.ParseSince(f.since, l.now()); err != nil {
			return misused("--since: %w", err)
		}
	}
	if !f.dryRun {
		if err := l.connect(); err != nil {
			return err
		}
	}
	data, err := a.readList(ctx, f.from)
	if err != nil {
		return err
	}
	in, err := sheet.Read(data, f.columns)
	if err != nil {
		return a.refuse(err)
	}
	if err := l.take(in, since); err != nil {
		return err
	}
	if f.dryRun {
		return l.dryRun()
	}
	return l.run(ctx, data)
}

// complete validates the flags before the first call.
func (f *listFlags) complete() error {
	switch f.delimiter {
	case "":
	case "comma", ",":
		f.columns.Delimiter = ','
	case "semicolon", ";":
		f.columns.Delimiter = ';'
	case "tab", "\t", `\t`:
		f.columns.Delimiter = '\t'
	default:
		return misused("--delimiter must be comma, semicolon or tab, not %q", f.delimiter)
	}
	if f.journal == "" {
		f.journal = f.from + ".journal"
		if f.from == stdin {
			f.journal = "sparkloop-confirm.journal"
		}
	}
	for i, path := range []string{f.report, f.journal} {
		if path != "" && samePath(path, f.from) || i == 0 && path != "" && samePath(path, f.journal) {
			return misused("--from, --report and --journal must name different files")
		}
	}
	return nil
}

func samePath(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// readList reads all of a file, until ctx ends. A read cannot be interrupted:
// it may continue until the process ends.
func (a *app) readList(ctx context.Context, path string) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	if path == stdin && isTerminal(a.in) {
		fmt.Fprintln(a.err, "Reading from the keyboard: a header, then the lines. End with Ctrl-D.")
	}
	read := make(chan result, 1)
	go func() {
		var got result
		if path == stdin {
			got.data, got.err = io.ReadAll(a.in)
		} else {
			got.data, got.err = os.ReadFile(path) //nolint:gosec // the user's own path
		}
		read <- got
	}()
	select {
	case got := <-read:
		switch {
		case errors.Is(got.err, os.ErrNotExist), errors.Is(got.err, os.ErrPermission):
			return nil, misused("--from: %w", got.err)
		case got.err != nil:
			return nil, failed(fmt.Errorf("nothing was sent: read the file: %w", got.err))
		}
		return got.data, nil
	case <-ctx.Done():
		return nil, failed(errors.New("nothing was sent: interrupted while the file was read"))
	}
}

// refuse shows the first rows of a rejected file.
func (a *app) refuse(err error) error {
	var r *sheet.RefusalError
	if !errors.As(err, &r) {
		return misused("%w", err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "nothing was sent. %s.\n", r.Problem)
	if len(r.Rows) > 0 {
		text.WriteString("The first rows, as read:\n\n")
		t := newTable(&text)
		for _, row := range r.Rows {
			shown := make([]string, 0, len(row)+1)
			shown = append(shown, " ")
			for _, cell := range row[:min(len(row), 12)] {
				shown = append(shown, printable(cell, maxName))
			}
			if len(row) > 12 {
				shown = append(shown, "…")
			}
			t.AppendRow(cells(shown...))
		}
		t.Render()
		text.WriteString("\n")
	}
	text.WriteString(r.Advice + ".")
	return &failure{exitUsage, errors.New(text.String())}
}
