package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sparkloop-go/sparkloop"
)

// whyRefused is SparkLoop's final answer in a form that is the same for every
// conversion it is given to, so that answers can be counted.
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

// whyLeft is the same for a failure that may pass.
func whyLeft(err error) string {
	if errors.Is(err, context.Canceled) {
		return "stopped before the answer came"
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

// advice says what a person can do about the failure of a single call.
func advice(err error) string {
	wait, asked := sparkloop.RetryAfter(err)
	switch {
	case errors.Is(err, sparkloop.ErrNoTracking), errors.Is(err, sparkloop.ErrInvalidTracking):
		return "Nothing was sent: these cannot be ids of SparkLoop."
	case !sparkloop.Retryable(err):
		return "This answer is final. Compare the two ids with the landing URL, and the offer's type with listoffers."
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return "SparkLoop does not accept the key: look at SPARKLOOP_API_KEY."
	case asked && wait > 0:
		return fmt.Sprintf("It is safe to try again, in %s as SparkLoop asks.", wait)
	}
	return "It is safe to try again."
}

// reportMalformed names the lines that are not sent. The lines themselves may
// hold anything and are only written to the refused file.
func reportMalformed(w io.Writer, in input) {
	const most = 20
	n := 0
	for _, c := range in.conversions {
		if !c.tracking.IsZero() {
			continue
		}
		if n++; n <= most {
			fmt.Fprintf(w, "confirm: line %d is not sent: %s\n", c.line, c.reason)
		}
	}
	if n > most {
		fmt.Fprintf(w, "confirm: and so are %d more; all of them will be in the refused file\n", n-most)
	}
}

// summary is what became of a list.
type summary struct {
	counts
	earlier  int // confirmed by an earlier run
	repeated int

	whyRefused, whyLeft map[string]int
}

func sumUp(in input) summary {
	s := summary{repeated: in.repeated, whyRefused: make(map[string]int), whyLeft: make(map[string]int)}
	for _, c := range in.conversions {
		switch {
		case c.state == refused:
			s.refused++
			s.whyRefused[c.reason]++
		case c.earlier:
			s.earlier++
		case c.state == confirmed:
			s.confirmed++
		case c.state == already:
			s.already++
		default:
			s.left++
			s.whyLeft[cmp.Or(c.reason, "not asked yet")]++
		}
	}
	return s
}

func (s summary) print(w io.Writer, paths files) {
	row := func(label string, n int, note string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-25s %6d  %s", label, n, note), " "))
	}
	row("confirmed now", s.confirmed, "")
	row("already confirmed", s.already, "")
	if s.earlier > 0 {
		row("confirmed by earlier runs", s.earlier, "not asked again")
	}
	row("refused", s.refused, noteIf(s.refused, "listed in "+paths.refused))
	printReasons(w, s.whyRefused)
	row("to try again", s.left, noteIf(s.left, "listed in "+paths.retry))
	printReasons(w, s.whyLeft)
	if s.repeated > 0 {
		row("repeated lines", s.repeated, "asked once")
	}
}

func noteIf(n int, note string) string {
	if n == 0 {
		return ""
	}
	return note
}

// printReasons writes how often each reason was given, the most frequent first.
func printReasons(w io.Writer, reasons map[string]int) {
	const most = 10
	sorted := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(reasons[b]-reasons[a], strings.Compare(a, b))
	})
	for i, reason := range sorted {
		if i == most {
			fmt.Fprintf(w, "%32s  and %d other reasons\n", "", len(sorted)-most)
			return
		}
		fmt.Fprintf(w, "%32d  %s\n", reasons[reason], reason)
	}
}
