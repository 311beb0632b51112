package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// files are the paths of what a list leaves behind.
type files struct{ retry, refused, journal string }

// check finds out before the first call whether the files can be written at
// the end, and that nothing else stands in their place.
func (f files) check() error {
	names := []string{filepath.Clean(f.retry), filepath.Clean(f.refused), filepath.Clean(f.journal)}
	slices.Sort(names)
	if len(slices.Compact(names)) < 3 || slices.Contains(names, ".") {
		return errors.New("-retry, -refused and -journal must name three files")
	}
	if _, err := readRetry(f.retry); err != nil {
		return err
	}
	if _, err := readRefused(f.refused); err != nil {
		return err
	}
	for _, path := range []string{f.retry, f.refused} {
		trial, err := os.CreateTemp(filepath.Dir(path), tempPattern)
		if err != nil {
			return err
		}
		if err := errors.Join(trial.Close(), os.Remove(trial.Name())); err != nil {
			return err
		}
	}
	return nil
}

// readRetry reads what earlier runs left to be tried again.
func readRetry(path string) (input, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return input{}, nil
	} else if err != nil {
		return input{}, err
	}
	in := parse(string(data))
	for _, c := range in.conversions {
		if c.state == refused {
			return in, fmt.Errorf("%s is not a list of conversions (line %d): move it away, or name another file with -retry", path, c.line)
		}
	}
	return in, nil
}

// writeRetry writes what is left of this list, and what earlier runs left and
// is not confirmed since. What is refused since and in neither file, because that
// run was killed, stays for the next run on the retry file to move it.
func (f files) writeRetry(in input, j *journal) error {
	old, err := readRetry(f.retry)
	if err != nil {
		return err
	}
	listed := make(map[string]bool)
	for _, c := range in.conversions {
		listed[c.tracking.Key()] = true
	}
	var rows []string
	for _, c := range old.conversions {
		if a, settled := j.answer(c.tracking.Key()); !listed[c.tracking.Key()] && !(settled && a.state == confirmed) {
			rows = append(rows, c.text)
		}
	}
	for _, c := range in.conversions {
		if c.state == left {
			rows = append(rows, c.text)
		}
	}
	if len(rows) == 0 {
		return replace(f.retry, nil)
	}
	header := cmp.Or(in.header, old.header, "offer,submission")
	return replace(f.retry, []byte(header+"\n"+strings.Join(rows, "\n")+"\n"))
}

var refusedHeader = []string{"offer", "submission", "reason", "line", "input"}

// readRefused reads the rows of the refused file, without the header.
func readRefused(path string) ([][]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) > 0 && !slices.Equal(rows[0], refusedHeader) {
		return nil, fmt.Errorf("%s is not a refused file of this command: move it away, or name another file with -refused", path)
	}
	return rows[min(1, len(rows)):], nil
}

// writeRefused writes what of this list is refused, and what earlier runs
// wrote about other conversions.
func (f files) writeRefused(in input, j *journal) error {
	old, err := readRefused(f.refused)
	if err != nil {
		return err
	}
	rows := [][]string{refusedHeader}
	listed := make(map[string]bool)
	for _, c := range in.conversions {
		listed[rowName(refusedRow(c))] = true
	}
	for _, row := range old {
		if a, settled := j.answer(rowName(row)); !listed[rowName(row)] && !(settled && a.state == confirmed) {
			rows = append(rows, row)
		}
	}
	for _, c := range in.conversions {
		if c.state == refused {
			rows = append(rows, refusedRow(c))
		}
	}
	if len(rows) == 1 {
		return replace(f.refused, nil)
	}
	var out bytes.Buffer
	if err := csv.NewWriter(&out).WriteAll(rows); err != nil {
		return err
	}
	return replace(f.refused, out.Bytes())
}

func refusedRow(c *conversion) []string {
	return []string{c.tracking.Offer, c.tracking.Submission, c.reason, strconv.Itoa(c.line), shown(c.text)}
}

// rowName is what a row is about: the conversion's key, or the text of a line
// that has none.
func rowName(row []string) string {
	if row[0] == "" {
		return row[4]
	}
	return row[0] + "/" + row[1]
}

// shown is a line as it stood. One that a terminal or a spreadsheet would obey
// instead of showing it, and one that begins with a quote, is written as a Go
// string: nothing of it is lost, and the two kinds cannot be mistaken for each
// other.
func shown(text string) string {
	odd := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if strings.ContainsFunc(text, odd) || strings.HasPrefix(text, `"`) || strings.IndexAny(text, "=+-@") == 0 {
		return strconv.Quote(text)
	}
	return text
}

const tempPattern = ".sparkloop-*"

// replace puts a file in the place of another in one step, so that a crash
// leaves the old or the new one. Without content the file goes.
func replace(path string, content []byte) error {
	if content == nil {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), tempPattern)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // after the rename there is nothing to remove
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
