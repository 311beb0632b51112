// Package sheet reads conversions from a CSV or TSV file with a header. It
// finds columns only by name, never by position or content: an order number
// sent as an offer confirms nothing, and neither do swapped IDs.
package sheet

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// Sheet is the content of a file.
type Sheet struct {
	Header    []string
	Delimiter rune
	Columns   string // the columns of the IDs, in words
	Time      string // name of the time column, "" if there is none
	Lines     []Line // without blank lines

	time int // index of Time, -1 if there is none
}

// Line is a record of the file.
type Line struct {
	Number int      // its first line, from 1
	Cells  []string // as many as the header has, or the whole line if it is unreadable

	// Tracking is to be confirmed. It is zero if Note or Err gives a reason
	// against it.
	Tracking sparkloop.Tracking
	Note     string // such as "no tracking"
	Err      error

	Time    time.Time // of the time column; zero if empty, or TimeErr
	TimeErr error
}

// RefusalError is the reason why a file is rejected, with its first rows.
type RefusalError struct {
	Problem string
	Rows    [][]string // as they were read
	Advice  string
}

func (r *RefusalError) Error() string { return r.Problem + ". " + r.Advice }

// Read reads a file. It returns a *RefusalError if the file is rejected. An
// unreadable line has an Err and does not affect the others.
func Read(data []byte, want Columns) (*Sheet, error) {
	text, err := decode(data)
	if err != nil {
		return nil, err
	}
	lines := physical(text)
	if want.Delimiter == 0 {
		lines, want.Delimiter = separatorLine(lines)
	}
	c, err := findColumns(lines, want)
	if err != nil {
		return nil, err
	}
	s := &Sheet{Header: c.header, Delimiter: c.delimiter, Columns: c.String(), Time: c.name(c.time), time: c.time}
	for _, r := range c.split(lines, c.after) {
		line, ok := c.line(r)
		if !ok {
			return nil, &RefusalError{
				Problem: fmt.Sprintf("Line %d is another header, with other columns", r.line),
				Rows:    [][]string{c.header, r.cells},
				Advice:  "Split the file there: each table needs its own file",
			}
		}
		s.Lines = append(s.Lines, line)
	}
	if err := c.allSwapped(s.Lines); err != nil {
		return nil, err
	}
	return s, nil
}

// errSwapped is the error of a line with swapped IDs.
var errSwapped = errors.New("the two IDs are swapped: the offer column holds a submission, or the submission column an offer")

// line reads a record. It returns false for the header of another table.
func (c *columns) line(r record) (Line, bool) {
	line := Line{Number: r.line, Cells: []string{r.text}, Err: r.err}
	if r.err != nil {
		return line, true
	}
	line.Cells = r.cells
	switch c.headerAgain(r.cells) {
	case sameHeader:
		line.Note = "a repeated header"
		return line, true
	case otherHeader:
		return line, false
	}
	if line.Err = c.width(r.cells); line.Err != nil {
		return line, true
	}
	line.Cells = r.cells[:len(c.header)]
	line.Tracking, line.Err = c.tracking(line.Cells)
	switch {
	case line.Err != nil:
	case line.Tracking.IsZero():
		line.Note = "no tracking"
	case line.Tracking.Test:
		line.Tracking, line.Note = sparkloop.Tracking{}, "a test click"
	}
	if c.time >= 0 {
		line.Time, line.TimeErr = ParseTime(clean(line.Cells[c.time]))
	}
	return line, true
}

// width rejects a line with too many or too few cells, because all may be in
// the wrong column. Empty cells after the last column do not count.
func (c *columns) width(cells []string) error {
	n := len(cells)
	for n > len(c.header) && clean(cells[n-1]) == "" {
		n--
	}
	if n != len(c.header) {
		return fmt.Errorf("%d cells, but the header has %d: the columns may have moved", n, len(c.header))
	}
	return nil
}

// tracking reads the IDs of a line from all columns that may have them. They
// must agree.
func (c *columns) tracking(cells []string) (found sparkloop.Tracking, err error) {
	take := func(t sparkloop.Tracking, where string, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", where, err)
		case Swapped(t.Offer, t.Submission):
			return errSwapped
		case !found.IsZero() && found.Key() != t.Key():
			return fmt.Errorf("%s has other IDs than the other columns", where)
		case found.IsZero():
			found = t
		}
		return nil
	}
	if c.offer >= 0 {
		o, s := clean(cells[c.offer]), clean(cells[c.submission])
		t := sparkloop.Tracking{Offer: o, Submission: s}
		switch {
		case o == "" && s == "":
		case o == "":
			err = fmt.Errorf("no offer in %q", c.name(c.offer))
		case s == "":
			err = fmt.Errorf("no submission in %q", c.name(c.submission))
		default:
			err = take(t, fmt.Sprintf("%q and %q", c.name(c.offer), c.name(c.submission)), named(t.Validate(), "an ID has 1 to 128 letters, digits, underscores and hyphens"))
		}
		if err != nil {
			return sparkloop.Tracking{}, err
		}
	}
	// A column of this name may be the shop's own, with parcel numbers.
	if i := c.encoded; i >= 0 && clean(cells[i]) != "" && (c.offer < 0 || strings.HasPrefix(clean(cells[i]), "v1.")) {
		t, e := sparkloop.DecodeTracking(clean(cells[i]))
		if err = take(t, fmt.Sprintf("%q", c.name(i)), named(e, "not an encoded tracking, v1.offer.submission.time")); err != nil {
			return sparkloop.Tracking{}, err
		}
	}
	if i := c.landing; i >= 0 && clean(cells[i]) != "" {
		t, e := sparkloop.ParseTracking(clean(cells[i]))
		if isNone(e) {
			return found, nil
		}
		if err = take(t, fmt.Sprintf("%q", c.name(i)), named(e, "a URL whose IDs cannot be read")); err != nil {
			return sparkloop.Tracking{}, err
		}
	}
	return found, nil
}

// named replaces an error that may repeat the cell.
func named(err error, problem string) error {
	if err == nil {
		return nil
	}
	return errors.New(problem)
}

// allSwapped rejects a file if every line with IDs has them swapped.
func (c *columns) allSwapped(lines []Line) error {
	rows := [][]string{c.header}
	for _, l := range lines {
		switch {
		case l.Err == errSwapped: //nolint:errorlint // it is never wrapped
			if len(rows) < previewRows {
				rows = append(rows, l.Cells)
			}
		case !l.Tracking.IsZero():
			return nil
		}
	}
	if len(rows) == 1 {
		return nil
	}
	r := &RefusalError{Problem: "The offers and the submissions are swapped", Rows: rows, Advice: "Correct the header"}
	if c.offer >= 0 {
		r.Advice = fmt.Sprintf("If the header is wrong, give --offer-column %q --submission-column %q", c.name(c.submission), c.name(c.offer))
	}
	return r
}

// Swapped reports whether two IDs are in each other's column.
func Swapped(offer, submission string) bool {
	return offer == submission || looksLikeSubmission(offer) || looksLikeOffer(submission)
}

func looksLikeOffer(id string) bool {
	id = strings.ToLower(id)
	return strings.HasPrefix(id, "offer_") && !looksLikeSubmission(id)
}

func looksLikeSubmission(id string) bool {
	id = strings.ToLower(id)
	return strings.HasPrefix(id, "submission_") || strings.HasPrefix(id, "offer_submission_")
}
