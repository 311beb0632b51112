// Package journal stores the results of conversions in a file, so that an
// interrupted run resumes where it stopped.
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

// header is the first line. Any other file is rejected and never written to.
const header = "sparkloop confirm journal 2\n"

// State is the state of a conversion at SparkLoop.
type State string

// States. No word in a journal is the beginning of another.
const (
	Confirmed State = "confirmed" // by this list
	Already   State = "already"   // before this list
	Refused   State = "refused"

	asked = "asked" // a request goes out
	left  = "left"  // it got a temporary answer
	list  = "list"  // a run begins; its hash follows
	done  = "done"  // the run has settled everything
)

// Answer is SparkLoop's answer about a conversion.
type Answer struct {
	State  State
	Reason string
	At     time.Time
}

// Journal is only ever appended to, a line for each event:
//
//	api TAB key TAB offer/submission TAB word TAB time TAB reason
//
// The word comes after the IDs: a line cut off by a crash cannot be read as the
// line of another conversion with a shorter ID. A Journal is safe for
// concurrent use.
type Journal struct {
	api, key string

	mu    sync.Mutex
	file  *os.File
	known map[string]Answer // by Tracking.Key
	open  map[string]bool   // asked, and no answer is known

	list string // the hash of the last list
	done bool   // it was settled
}

// mark identifies an API or a key by a part of its hash, too short to find the
// key.
func mark(text string) string {
	sum := sha256.Sum256([]byte("sparkloop journal\n" + text))
	return hex.EncodeToString(sum[:4])
}

// Hash identifies a list by its content.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Open opens or creates the journal of an API and a key. Confirmations at
// another API, such as a fake, do not count. Refusals count only for their key,
// because another account may have the offer.
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
	case strings.HasPrefix(header, text): // new, or cut off by a crash
		_, err = j.file.WriteString(header[len(text):])
	case !strings.HasPrefix(text, header):
		err = fmt.Errorf("%s is not a journal of this command: choose another file with --journal", j.file.Name())
	case !strings.HasSuffix(text, "\n"):
		_, err = j.file.WriteString("\n") // ends a line cut off by a crash
	}
	for line := range strings.Lines(text) {
		j.read(strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 6))
	}
	return err
}

// read reads one line. An unknown line is ignored.
func (j *Journal) read(fields []string) {
	if len(fields) < 4 || fields[0] != j.api {
		return
	}
	for len(fields) < 6 {
		fields = append(fields, "")
	}
	conversion, word, reason := fields[2], fields[3], fields[5]
	at, _ := time.Parse(time.RFC3339, fields[4]) // zero if cut off
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

// begin starts a list. If the previous list was settled, its confirmations
// count as earlier ones. A list that was not settled continues, even if the
// file was corrected.
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

// Begin records that a run over a list begins.
func (j *Journal) Begin(hash string, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begin(hash)
	return j.write("-", list, now, hash)
}

// Done records that the whole list is settled.
func (j *Journal) Done(now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write("-", done, now, "")
}

// Ask records that a request about a conversion goes out.
func (j *Journal) Ask(conversion string, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open[conversion] = true
	return j.write(conversion, asked, now, "")
}

// Asked reports whether a request went out and has no recorded answer.
func (j *Journal) Asked(conversion string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open[conversion]
}

// Left records an answer that did not confirm the conversion and allows a
// retry.
func (j *Journal) Left(conversion string, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, conversion)
	return j.write(conversion, left, now, "")
}

// Note records the final answer about a conversion. The line survives the end
// of the process. A power cut may lose lines, which only causes repeated calls.
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

// Answer returns the recorded answer about a conversion.
func (j *Journal) Answer(conversion string) (Answer, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, ok := j.known[conversion]
	return a, ok
}

// Close closes the file. Every line is already written.
func (j *Journal) Close() { _ = j.file.Close() }
