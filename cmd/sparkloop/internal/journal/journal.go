// Package journal remembers in a file what came of conversions, so that a list
// that was interrupted goes on where it was.
package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// header is the first line: no other file is ever taken for a journal and
// written to.
const header = "sparkloop confirm journal 2\n"

// State is what SparkLoop has said about a conversion.
type State string

// The states. None of the words in a journal begins with another one.
const (
	Confirmed State = "confirmed" // by this list, not before
	Already   State = "already"   // before this list asked
	Refused   State = "refused"

	asked = "asked" // a request is going out
	left  = "left"  // it has an answer, which settles nothing
	list  = "list"  // a run begins; its hash follows
	done  = "done"  // the run has settled everything
)

// Answer is what came of a conversion.
type Answer struct {
	State  State
	Reason string
	At     time.Time
}

// Journal is only ever appended to, a line for each event:
//
//	api TAB key TAB offer/submission TAB word TAB time TAB reason
//
// The word stands behind the IDs, so a line that a crash cut short is never one
// about another conversion, whose ID happens to begin the same. A journal is
// safe for concurrent use.
type Journal struct {
	api, key string

	mu    sync.Mutex
	file  *os.File
	known map[string]Answer // by Tracking.Key
	open  map[string]bool   // asked, and no answer is known

	list string // the hash of the last list
	done bool   // it was settled
}

// mark stands for an API or a key: a part of a hash, which leads nobody back.
func mark(text string) string {
	sum := sha256.Sum256([]byte("sparkloop journal\n" + text))
	return hex.EncodeToString(sum[:4])
}

// Hash names a list by its content.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Open opens the journal of an API and a key, or begins one. What was confirmed
// at another API, a fake one for instance, does not count. A refusal counts for
// its key alone: what one account does not have, another one may.
func Open(path, api, key string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600) //nolint:gosec // the user's own path
	if err != nil {
		return nil, err
	}
	j := &Journal{api: mark(api), key: mark(api + "\n" + key), file: file, known: make(map[string]Answer), open: make(map[string]bool)}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *Journal) load() error {
	data, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	text := string(data)
	switch {
	case strings.HasPrefix(header, text): // new, or cut short while it was made
		_, err = j.file.WriteString(header[len(text):])
	case !strings.HasPrefix(text, header):
		err = fmt.Errorf("%s is not a journal of this command: name another file with --journal", j.file.Name())
	case !strings.HasSuffix(text, "\n"):
		_, err = j.file.WriteString("\n") // ends what a crash cut short
	}
	for line := range strings.Lines(text) {
		j.read(strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 6))
	}
	return err
}

// read takes in one line. A line that it does not understand says nothing.
func (j *Journal) read(fields []string) {
	if len(fields) < 4 || fields[0] != j.api {
		return
	}
	for len(fields) < 6 {
		fields = append(fields, "")
	}
	conversion, word, reason := fields[2], fields[3], fields[5]
	at, _ := time.Parse(time.RFC3339, fields[4]) // zero if it was cut short
	switch word {
	case asked:
		j.open[conversion] = true
	case left:
		delete(j.open, conversion)
	case string(Confirmed), string(Already):
		j.known[conversion] = Answer{State(word), reason, at}
	case string(Refused):
		if fields[1] == j.key {
			j.known[conversion] = Answer{State(word), reason, at}
		}
	case list:
		j.begin(reason)
	case done:
		j.done = true
	}
}

// begin turns to a list. Where another list was settled, what it confirmed was
// confirmed before this one. A list that was not settled goes on, also when a
// line of it was corrected.
func (j *Journal) begin(hash string) {
	if j.done && hash != j.list {
		for conversion, a := range j.known {
			if a.State == Confirmed {
				j.known[conversion] = Answer{Already, "", a.At}
			}
		}
	}
	j.list, j.done = hash, false
}

// Begin notes that a run over a list begins.
func (j *Journal) Begin(hash string, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begin(hash)
	return j.write("-", list, now, hash)
}

// Done notes that all of the list is settled.
func (j *Journal) Done(now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write("-", done, now, "")
}

// Ask notes that a request about a conversion goes out.
func (j *Journal) Ask(conversion string, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open[conversion] = true
	return j.write(conversion, asked, now, "")
}

// Asked reports whether a request went out whose answer is not known.
func (j *Journal) Asked(conversion string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open[conversion]
}

// Left notes an answer after which a conversion is to be tried again, and that
// the request did not confirm it.
func (j *Journal) Left(conversion string, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, conversion)
	return j.write(conversion, left, now, "")
}

// Note notes what came of a conversion. The line is with the operating system
// when Note returns, so it outlives the process. A power cut may cost lines, and
// with them no more than repeated calls.
func (j *Journal) Note(conversion string, a Answer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known[conversion] = a
	return j.write(conversion, string(a.State), a.At, a.Reason)
}

func (j *Journal) write(conversion, word string, at time.Time, reason string) error {
	reason = strings.Join(strings.Fields(reason), " ")
	_, err := j.file.WriteString(strings.Join([]string{j.api, j.key, conversion, word, at.UTC().Format(time.RFC3339), reason}, "\t") + "\n")
	if err != nil {
		return fmt.Errorf("the journal cannot be written: %w", err)
	}
	return nil
}

// Answer returns what is known about a conversion.
func (j *Journal) Answer(conversion string) (Answer, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, ok := j.known[conversion]
	return a, ok
}

// Close has nothing to lose: every line went to the operating system at once.
func (j *Journal) Close() { _ = j.file.Close() }
