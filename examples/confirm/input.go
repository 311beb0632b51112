package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sparkloop-go/sparkloop"
)

// state is what became of a conversion.
type state int

const (
	left      state = iota // to be tried again, or not asked yet
	confirmed              // by this run
	already                // SparkLoop had it before this run asked
	refused                // for good, or a line that cannot be read
)

// conversion is a record of the list and what became of it.
type conversion struct {
	tracking sparkloop.Tracking // zero for a line that cannot be read
	line     int                // where the record begins, from 1
	text     string             // the record as it stood, without its line end

	state   state
	reason  string // why it is left or refused
	earlier bool   // settled by an earlier run, not asked by this one
}

// input is a list that has been read.
type input struct {
	header      string // the first header line, if there is one
	conversions []*conversion
	repeated    int // records of a conversion that stood in the list before
}

const malformed = "malformed line: "

// parse reads a list. It never fails: a line that cannot be read becomes a
// refused conversion and does not touch the others.
func parse(text string) input {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		// Lists put together from several files have a byte order mark and a
		// header at each seam.
		lines[i] = strings.TrimPrefix(strings.TrimSuffix(line, "\r"), "\uFEFF")
	}
	var in input
	seen := make(map[string]bool)
	for i := 0; i < len(lines); {
		n := recordLines(lines[i:])
		in.add(seen, i+1, strings.Join(lines[i:i+n], "\n"))
		i += n
	}
	return in
}

// recordLines is how many lines the first record has. In CSV a quoted field
// may go on over line ends, but a stray quote must not swallow the lines after
// it: a record never reaches over a line that could be a conversion by itself.
func recordLines(lines []string) int {
	open := func(line string) bool { return strings.Count(line, `"`)%2 == 1 }
	if !open(lines[0]) {
		return 1
	}
	for i, line := range lines[1:] {
		if mayBeConversion(line) {
			return 1
		}
		if open(line) {
			return i + 2
		}
	}
	return 1
}

// mayBeConversion is generous: it looks past quotes, whether they match or not.
func mayBeConversion(line string) bool {
	fields := strings.Split(line, ",")
	for i, field := range fields {
		fields[i] = strings.Trim(field, "\" \t")
	}
	_, err := readTracking(fields)
	return err == nil
}

// add takes one record into the list.
func (in *input) add(seen map[string]bool, line int, text string) {
	fields, err := splitRecord(text)
	switch {
	case err == nil && strings.Join(fields, "") == "":
		return // a blank line, or the commas that a spreadsheet leaves of one
	case err == nil && isHeader(fields):
		in.header = cmp.Or(in.header, text)
		return
	}
	c := &conversion{line: line, text: text}
	if err == nil {
		c.tracking, err = readTracking(fields)
	}
	if err != nil {
		c.state, c.reason = refused, malformed+err.Error()
		in.conversions = append(in.conversions, c)
		return
	}
	if seen[c.tracking.Key()] {
		in.repeated++
		return
	}
	seen[c.tracking.Key()] = true
	in.conversions = append(in.conversions, c)
}

// splitRecord splits one record into fields, without spaces around them.
func splitRecord(text string) ([]string, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	fields, err := r.Read()
	if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
		return nil, fmt.Errorf("not CSV: %w", wrong.Err) // its line number is not the list's
	} else if err != nil {
		return nil, fmt.Errorf("not CSV: %w", err)
	}
	for i, field := range fields {
		fields[i] = strings.TrimSpace(field)
	}
	return fields, nil
}

func isHeader(fields []string) bool {
	return len(fields) >= 2 && strings.EqualFold(fields[0], "offer") && strings.EqualFold(fields[1], "submission")
}

// readTracking reads the fields of a record. No id has a dot in it, so a first
// field with one can only be an encoded tracking.
func readTracking(fields []string) (sparkloop.Tracking, error) {
	if strings.Contains(fields[0], ".") {
		return sparkloop.DecodeTracking(fields[0])
	}
	if len(fields) < 2 {
		return sparkloop.Tracking{}, errors.New("neither offer,submission nor an encoded tracking")
	}
	t := sparkloop.Tracking{Offer: fields[0], Submission: fields[1]}
	if err := t.Validate(); err != nil {
		return sparkloop.Tracking{}, err
	}
	return t, nil
}

// readAll reads r to its end, or gives up when ctx ends. A read cannot be
// interrupted; one that still waits then ends with the process.
func readAll(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(r)
		done <- result{data, err}
	}()
	select {
	case got := <-done:
		return string(got.data), got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
