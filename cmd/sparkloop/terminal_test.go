//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// command returns the program itself, in another process.
func (d *desk) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "SPARKLOOP_TEST_IS_THE_PROGRAM=1")
	for name, value := range d.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// screen collects the program's output to its terminal.
type screen struct {
	file *os.File

	mu   sync.Mutex
	text bytes.Buffer
	end  chan struct{}
}

// onTerminal starts a program on a terminal of 100 columns.
func onTerminal(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	require.NoError(t, err)
	s := &screen{file: file, end: make(chan struct{})}
	t.Cleanup(func() { file.Close() })
	go func() {
		defer close(s.end)
		buf := make([]byte, 4096)
		for {
			n, err := file.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return // the program has ended
			}
		}
	}()
	return s
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// shows waits until the screen shows a text.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(s.String(), text) }, 30*time.Second, 5*time.Millisecond,
		"%q is not on the screen", text)
}

func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	cmd.Wait() //nolint:errcheck // its code is looked at
	return cmd.ProcessState.ExitCode()
}

// missing creates a list that begins with more than 10 unknown conversions.
func (d *desk) missing(t *testing.T) (good sparkloop.Tracking, file string) {
	t.Helper()
	good = clicks(d.api, 1)[0]
	var text strings.Builder
	text.WriteString("offer,submission\n")
	for i := range 20 {
		fmt.Fprintf(&text, "%s,order-%d\n", offer, i)
	}
	fmt.Fprintf(&text, "%s,%s\n", good.Offer, good.Submission)
	return good, d.write(t, "in.csv", text.String())
}

func TestAtATerminalItAsksWhetherToGoOn(t *testing.T) {
	t.Parallel()
	for answer, goesOn := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "\x04": false} {
		d := newDesk(t)
		good, file := d.missing(t)
		cmd := d.command(t, "confirm", "--from", file)
		s := onTerminal(t, cmd)
		s.shows(t, `The first 10 answers are all "not found". The columns are: offer from "offer", submission from "submission". Continue? [y/N] `)
		assert.Len(t, d.api.Requests(), 10)
		_, err := s.file.WriteString(answer)
		require.NoError(t, err)
		<-s.end
		assert.Equal(t, exitFailed, exitCode(t, cmd), "%q: %s", answer, s)
		assert.Equal(t, goesOn, d.api.Confirmed(good), "%q: %s", answer, s)
		if !goesOn {
			assert.Len(t, d.api.Requests(), 10)
			assert.Contains(t, s.String(), "--keep-going continues anyway")
		}
		assert.NotContains(t, s.String(), secret)
	}
}

func TestCtrlCAtTheQuestion(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	_, file := d.missing(t)
	cmd := d.command(t, "confirm", "--from", file)
	s := onTerminal(t, cmd)
	s.shows(t, "[y/N]")
	_, err := s.file.WriteString("\x03")
	require.NoError(t, err)
	<-s.end
	assert.Equal(t, exitFailed, exitCode(t, cmd))
	assert.Len(t, d.api.Requests(), 10)
}

func TestProgressAtATerminal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ts := clicks(d.api, 300) // the second and the third burst are minutes away
	file := d.write(t, "in.csv", export(ts, today))
	cmd := d.command(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	s := onTerminal(t, cmd)
	s.shows(t, "40.00%")
	assert.Regexp(t, `120 of 300, about [12]m\d\ds left`, s.String())
	_, err := s.file.WriteString("\x03") // Ctrl-C
	require.NoError(t, err)
	<-s.end
	assert.Equal(t, exitFailed, exitCode(t, cmd))
	assert.Contains(t, s.String(), "interrupted. Run the same command again")
	assert.NotContains(t, s.String(), secret)
	_, n := d.report(t)
	assert.Equal(t, map[string]int{"confirmed now": 120, "to be tried again": 180}, n)

	got := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	require.Equal(t, exitDone, got.code, got.err)
	assert.NotContains(t, got.err, "%", "without a terminal there is no progress")
	_, n = d.report(t)
	assert.Equal(t, map[string]int{"confirmed now": 300}, n)
}

func TestTypedAtTheKeyboard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tr := clicks(d.api, 1)[0]
	cmd := d.command(t, "confirm", "--from", "-")
	s := onTerminal(t, cmd)
	s.shows(t, "Reading from the keyboard")
	_, err := s.file.WriteString("offer,submission\n" + tr.Offer + "," + tr.Submission + "\n\x04")
	require.NoError(t, err)
	<-s.end
	assert.Equal(t, exitDone, exitCode(t, cmd), s.String())
	assert.True(t, d.api.Confirmed(tr))
}

// A run that is killed at any moment resumes, and still knows which conversions
// were missing.
func TestKilledWithoutWarning(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ts := clicks(d.api, 40)
	known := make(map[string]bool)
	for _, tr := range ts[10:20] {
		_, err := d.api.Client().Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)
		known[tr.Key()] = true
	}
	file := d.write(t, "in.csv", export(ts, today))
	for range 3 {
		d.api.Fail(sparklooptest.Delay(20*time.Millisecond), -1)
		begun := len(d.api.Requests())
		cmd := d.command(t, "confirm", "--from", file)
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return len(d.api.Requests())-begun >= 5 }, 30*time.Second, time.Millisecond)
		require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
		cmd.Wait() //nolint:errcheck // it was killed
		d.api.Fail(sparklooptest.Fault{}, 0)
	}
	got := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	require.Equal(t, exitDone, got.code, got.err)
	rows, n := d.report(t)
	assert.Equal(t, 40, n["confirmed now"]+n["already confirmed"])
	for _, row := range rows[1:] {
		if !known[row[4]] {
			assert.Equal(t, "confirmed now", row[1], "%s was missing", row[4])
		} else if row[1] == "confirmed now" {
			assert.Contains(t, row[2], "possibly before", "%s was known, and its answer was lost with the process", row[4])
		}
	}
}

func TestTwoProcessesOnOneFile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := d.write(t, "in.csv", export(clicks(d.api, 8), today))
	d.api.Fail(sparklooptest.Delay(time.Minute), -1)
	first := d.command(t, "confirm", "--from", file)
	require.NoError(t, first.Start())
	require.Eventually(t, func() bool { return strings.Contains(d.read(t, "in.csv.journal"), "asked") }, 30*time.Second, time.Millisecond)
	got := d.run(t, "confirm", "--from", file)
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.err, "is in use by another run")
	require.NoError(t, first.Process.Kill())
	first.Wait() //nolint:errcheck // it was killed
	d.api.Fail(sparklooptest.Fault{}, 0)
	got = d.run(t, "confirm", "--from", file)
	assert.Equal(t, exitDone, got.code, "the lock ends with the process: %s", got.err)
}
