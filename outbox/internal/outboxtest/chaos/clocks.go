package chaos

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hosts are the errors of the hosts' clocks in wrongClocks.
var hosts = []time.Duration{0, 10 * time.Minute, -2 * time.Hour, 46 * day}

// wrongClocks makes the API fail for a minute while processes deliver from hosts
// with wrong clocks. It compares the result with right clocks. Hosts that share no
// database have separate queues.
func wrongClocks(w *world) {
	switch {
	case !w.engine.OwnClock:
		w.t.Skip("one machine has one clock")
	case w.form.outage == 0:
		w.t.Skip("only in make chaos: it compiles a program whose clock is wrong")
	}
	w.beside = newWorld(w.t, w.engine, w.form)
	w.beside.figures.story = "right clocks"
	program := buildWithClock(w.t)
	w.beside.failsFor(w.form.outage, program, make([]time.Duration, len(hosts)))
	w.failsFor(w.form.outage, program, hosts)
	assert.LessOrEqual(w.t, w.api.seen().failed, w.beside.api.seen().failed+workers*len(hosts), "requests in the outage")
}

// failsFor makes the API answer 500 to all requests for a time.
func (w *world) failsFor(d time.Duration, program string, clocks []time.Duration) {
	w.t.Helper()
	w.begin(w.engine.Fresh(w.t), limit{}, false)
	w.api.set(line{down: &outage{500}})
	w.click(w.form.conversions / 10)
	w.settings.Program = program
	for _, wrong := range clocks {
		w.settings.Clock = wrong
		p := start(w.t, w.settings, nil)
		require.InDelta(w.t, wrong.Minutes(), p.wrong.Minutes(), 1, "the clock of its host")
		w.processes = append(w.processes, p)
	}
	w.figures.processes = len(clocks)
	require.Zero(w.t, w.enqueue(0)().refused, "refused by Enqueue")
	time.Sleep(d)
	w.api.set(line{})
	w.settled()
}

// clockVariable is the variable with the error of a process's clock.
const clockVariable = "SPARKLOOP_CHAOS_CLOCK"

// offset is a file for package time. It makes Now add the variable's value.
const offset = `package time

import "syscall"

var wrongBy = func() (seconds int64) {
	text, _ := syscall.Getenv("` + clockVariable + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}()
`

// buildWithClock compiles the engine's test binary with a package time whose
// clock may be wrong.
func buildWithClock(t *testing.T) (program string) {
	t.Helper()
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // on our own files
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	source := filepath.Join(run("env", "GOROOT"), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go")) //nolint:gosec // of the Go that runs this
	require.NoError(t, err)
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	require.Contains(t, string(text), reads)
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) //nolint:gosec // in a folder of the test
		return path
	}
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(source, "time.go"):    write("time.go", strings.Replace(string(text), reads, reads+"\tsec += wrongBy\n", 1)),
		filepath.Join(source, "wrongby.go"): write("wrongby.go", offset),
	}})
	require.NoError(t, err)
	program = filepath.Join(folder, "program")
	run("test", "-c", "-overlay="+write("overlay.json", string(replaced)), "-o="+program, ".")
	return program
}
