package sheet

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// record is a row of the file.
type record struct {
	line  int    // the first line, from 1
	text  string // unchanged
	cells []string
	err   error
}

// A quoted cell may have line ends. Beyond this size it is a stray quotation
// mark.
const (
	mostLines = 200
	mostBytes = 1 << 20
)

var errQuote = errors.New("a quotation mark is not closed, or misplaced")

// physical splits a text into lines.
func physical(text string) []string { return strings.Split(text, "\n") }

// separatorLine reads the line "sep=;" of Excel.
func separatorLine(lines []string) ([]string, rune) {
	rest, ok := strings.CutPrefix(strings.ToLower(clean(lines[0])), "sep=")
	if lines[0] == "sep=\t" {
		rest = "\t"
	}
	if !ok || len(rest) != 1 || !strings.Contains(delimiters, rest) {
		return lines, 0
	}
	kept := append([]string{""}, lines[1:]...) // keeps the line numbers
	return kept, rune(rest[0])
}

// next reads the record that begins at lines[i], and returns where the next one
// begins. If swallowed is not nil and reports a record within the record, only
// the first line is bad.
func next(lines []string, i int, delimiter rune, swallowed func(lines, cells []string) bool) (record, int) {
	r := record{line: i + 1, text: lines[i]}
	if !strings.Contains(lines[i], `"`) {
		r.cells = strings.Split(lines[i], string(delimiter))
		return r, i + 1
	}
	var err error
	r.cells, err = parse(lines[i], delimiter, false)
	switch {
	case err == nil:
		return r, i + 1
	case errors.Is(err, csv.ErrBareQuote): // 5" pipe
		r.cells, r.err = parse(lines[i], delimiter, true)
		return r, i + 1
	}
	open, size := strings.Count(lines[i], `"`)%2 == 1, len(lines[i])
	for end := i + 1; open && end < len(lines) && end-i < mostLines && size < mostBytes; end++ {
		size += len(lines[end]) + 1
		if strings.Count(lines[end], `"`)%2 == 0 {
			continue
		}
		text := strings.Join(lines[i:end+1], "\n")
		cells, err := parse(text, delimiter, false)
		if err != nil || swallowed != nil && swallowed(lines[i:end+1], cells) {
			break
		}
		return record{line: i + 1, text: text, cells: cells}, end + 1
	}
	r.cells, r.err = nil, errQuote
	return r, i + 1
}

// parse reads one record.
func parse(text string, delimiter rune, lazy bool) ([]string, error) {
	in := csv.NewReader(strings.NewReader(text))
	in.Comma, in.FieldsPerRecord, in.LazyQuotes = delimiter, -1, lazy
	cells, err := in.Read()
	if err != nil {
		return nil, err
	}
	if _, err := in.Read(); !errors.Is(err, io.EOF) {
		return nil, errQuote
	}
	return cells, nil
}

// blank reports whether a record has no text in any cell.
func blank(r record) bool {
	return r.err == nil && clean(strings.Join(r.cells, "")) == ""
}
