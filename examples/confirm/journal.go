package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// journalHeader is the first line: no other file is ever taken for a journal
// and written to.
const journalHeader = "sparkloop confirm journal 1\n"

// journal remembers in a file what SparkLoop has answered for good. It is only
// ever appended to, a line for each answer:
//
//	scope TAB offer/submission TAB confirmed
//	scope TAB offer/submission TAB refused TAB reason
//
// The word that says what happened stands behind the ids, so a line that a
// crash cut short is never one about another conversion, whose id happens to
// begin the same.
type journal struct {
	scope string

	mu    sync.Mutex
	file  *os.File
	known map[string]answer // by Tracking.Key
}

// answer is SparkLoop's last word on a conversion.
type answer struct {
	state  state // confirmed or refused
	reason string
}

// scope marks for which API and key a line holds: what a fake API confirmed in
// a trial is still to be confirmed at SparkLoop, and what one account does not
// know another one may. It is a short part of a hash, which leads nobody back
// to the key.
func scope(base, key string) string {
	sum := sha256.Sum256([]byte(base + "\n" + key))
	return hex.EncodeToString(sum[:4])
}

// openJournal opens the journal, or begins one.
func openJournal(path, scope string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{scope: scope, file: file, known: make(map[string]answer)}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *journal) load() error {
	data, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	text := string(data)
	switch {
	case text == "":
		_, err = j.file.WriteString(journalHeader)
	case !strings.HasPrefix(text, journalHeader):
		err = fmt.Errorf("%s is not a journal of this command: name another file with -journal", j.file.Name())
	case !strings.HasSuffix(text, "\n"):
		_, err = j.file.WriteString("\n") // ends what a crash cut short
	}
	for line := range strings.Lines(text) {
		j.read(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return err
}

// read takes in one line. A line that it does not understand says nothing.
func (j *journal) read(fields []string) {
	if len(fields) < 3 || fields[0] != j.scope {
		return
	}
	switch fields[2] {
	case "confirmed":
		j.known[fields[1]] = answer{state: confirmed}
	case "refused":
		j.known[fields[1]] = answer{refused, strings.Join(fields[3:], " ")}
	}
}

// note writes down what became of c, if that is settled. The line is with the
// operating system when note returns, so it outlives the process; a power cut
// may cost lines, and with them no more than repeated calls.
func (j *journal) note(c *conversion) error {
	a, line := answer{state: confirmed}, "confirmed\n"
	switch c.state {
	case left:
		return nil
	case refused:
		a, line = answer{refused, c.reason}, "refused\t"+c.reason+"\n"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known[c.tracking.Key()] = a
	_, err := j.file.WriteString(j.scope + "\t" + c.tracking.Key() + "\t" + line)
	return err
}

// recall marks c with what an earlier run learned about it, and says whether
// there is anything.
func (j *journal) recall(c *conversion) bool {
	a, ok := j.answer(c.tracking.Key())
	if ok {
		c.state, c.reason, c.earlier = a.state, a.reason, true
	}
	return ok
}

func (j *journal) answer(key string) (answer, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, ok := j.known[key]
	return a, ok
}

// close has nothing to lose: every line went to the operating system at once.
func (j *journal) close() { _ = j.file.Close() }
