package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sparkloop-go/sparkloop"
)

// reportHeader begins the header of a report. The columns of the file follow.
var reportHeader = []string{"line", "result", "reason", "answered_at", "conversion"}

// checkReport checks before the first call that a report can be written, and
// that it replaces only an earlier report.
func checkReport(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user's own path
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(data) > 0 && !bytes.HasPrefix(data, []byte(strings.Join(reportHeader, ","))):
		return fmt.Errorf("%s is not a report of this command: name another file with --report", path)
	}
	trial, err := os.CreateTemp(filepath.Dir(path), tempPattern)
	if err != nil {
		return err
	}
	return errors.Join(trial.Close(), os.Remove(trial.Name()))
}

// writeReport writes a line for each line of the file.
func (l *list) writeReport() error {
	if l.flags.report == "" {
		return nil
	}
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	rows := [][]string{append(slices.Clone(reportHeader), l.sheet.Header...)}
	for _, j := range l.jobs {
		conversion := ""
		if !j.line.Tracking.IsZero() {
			conversion = j.line.Tracking.Key()
		}
		rows = append(rows, append([]string{strconv.Itoa(j.line.Number), string(j.result), j.reason, stamp(j.at), conversion}, j.line.Cells...))
	}
	if err := out.WriteAll(rows); err != nil {
		return err
	}
	if err := replace(l.flags.report, text.Bytes()); err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	return nil
}

const tempPattern = ".sparkloop-*"

// replace replaces a file in one step: after a crash there is the old or the
// new file.
func replace(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), tempPattern)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails after the rename, when nothing is left to remove
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

const notAsked = "not sent yet"

// whyRefused returns SparkLoop's final answer without details of one
// conversion, so that equal answers can be counted.
func whyRefused(err error) string {
	for _, known := range []error{sparkloop.ErrOfferNotFound, sparkloop.ErrSubmissionNotFound, sparkloop.ErrNotActionOffer} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if answered := (*sparkloop.Error)(nil); errors.As(err, &answered) {
		return fmt.Sprintf("%d %s", answered.StatusCode, answered.Message)
	}
	return err.Error()
}

// whyLeft does the same for a temporary failure.
func whyLeft(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	for _, known := range []error{sparkloop.ErrUnauthorized, sparkloop.ErrRateLimited, sparkloop.ErrEndpointNotFound, sparkloop.ErrUnexpectedResponse} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var answered *sparkloop.Error
	switch {
	case errors.As(err, &answered) && answered.StatusCode != 0:
		return strings.TrimSpace(fmt.Sprintf("%d %s", answered.StatusCode, http.StatusText(answered.StatusCode)))
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return "no answer"
}

// summary counts the results of the lines.
type summary struct {
	n       map[result]int
	earlier int // confirmed by earlier runs over this list
	why     map[result]map[string]int
}

func sumUp(jobs []*job) summary {
	s := summary{n: make(map[result]int), why: make(map[result]map[string]int)}
	for _, j := range jobs {
		s.n[j.result]++
		if j.result == confirmedNow && j.before {
			s.earlier++
		}
		if j.reason == "" {
			continue
		}
		if s.why[j.result] == nil {
			s.why[j.result] = make(map[string]int)
		}
		s.why[j.result][j.reason]++
	}
	return s
}

// Results in a summary.
var (
	ofARun    = []result{confirmedNow, alreadyConfirmed, refusedLine, toBeTried, notSent}
	ofADryRun = []result{wouldBeSent, refusedLine, notSent}
)

// print writes the counts of the given results.
func (s summary) print(w io.Writer, results []result) {
	for _, r := range results {
		fmt.Fprintf(w, "%-18s %7d\n", r, s.n[r])
		if r == confirmedNow && s.earlier > 0 {
			fmt.Fprintf(w, "%26d  by earlier runs over this file\n", s.earlier)
		}
		printReasons(w, s.why[r])
	}
}

// printReasons writes how often each reason occurred, most frequent first.
func printReasons(w io.Writer, reasons map[string]int) {
	const most = 10
	short := make(map[string]int)
	for reason, n := range reasons {
		if same, _, found := strings.Cut(reason, " as in line "); found {
			reason = same + " as in an earlier line"
		}
		short[reason] += n
	}
	sorted := slices.SortedFunc(maps.Keys(short), func(a, b string) int {
		return cmp.Or(short[b]-short[a], strings.Compare(a, b))
	})
	for i, reason := range sorted {
		if i == most {
			fmt.Fprintf(w, "%26s  and %s\n", "", count(len(sorted)-most, "other reason"))
			return
		}
		fmt.Fprintf(w, "%26d  %s\n", short[reason], printable(reason, 200))
	}
}
