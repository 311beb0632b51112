package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// process is a started process.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	log     bytes.Buffer  // standard error; read it after the end
	wrong   time.Duration // by which its host's clock is ahead; to be read when it is ready
	ready   chan struct{}
	ended   chan struct{}
	expects atomic.Bool // the process will be killed
}

// start starts a process and returns when its queue is open. stored, if not nil,
// is called for each stored conversion. The process ends with the test, or when
// this process ends.
func start(t *testing.T, c config, stored func(p *process, key string)) *process {
	t.Helper()
	p := launch(t, c, stored)
	p.await()
	return p
}

// launch is start without waiting.
func launch(t *testing.T, c config, stored func(p *process, key string)) *process {
	t.Helper()
	program := c.Program
	if program == "" {
		var err error
		program, err = os.Executable()
		require.NoError(t, err)
	}
	text, err := json.Marshal(c)
	require.NoError(t, err)
	p := &process{t: t, ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), program) //nolint:gosec // this program
	p.cmd.Env = append(os.Environ(), environment+"="+string(text), clockVariable+"="+c.Clock.String())
	p.cmd.Stderr = &p.log
	p.cmd.Cancel = func() error { p.expects.Store(true); return p.cmd.Process.Kill() }
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go p.listen(out, stored)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && p.log.Len() > 0 {
			text := p.log.Bytes()
			t.Logf("process %d wrote at last:\n%s", p.cmd.Process.Pid, text[max(0, len(text)-4000):])
		}
	})
	return p
}

// listen reads the process's output to its end.
func (p *process) listen(out io.Reader, stored func(p *process, key string)) {
	defer close(p.ended)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // an incomplete line does not count
		}
		what, with, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case what == sayReady:
			unix, err := strconv.ParseInt(with, 10, 64)
			assert.NoError(p.t, err)
			p.wrong = time.Until(time.Unix(unix, 0))
			close(p.ready)
		case what == sayStored && stored != nil:
			stored(p, with)
		}
	}
	err := p.cmd.Wait()
	assert.True(p.t, err == nil || p.expects.Load(), "a process ended by itself: %v", err)
}

// await returns when the process's queue is open.
func (p *process) await() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.ended:
		require.FailNow(p.t, "A process has ended before it was ready", p.log.String())
	case <-time.After(time.Minute):
		require.FailNow(p.t, "A process is not ready in time")
	}
}

// tell sends a line to the process. A dying process may not read it.
func (p *process) tell(what, with string) { fmt.Fprintf(p.in, "%s %s\n", what, with) }

// kill ends the process as kill -9 does, and returns after its end.
func (p *process) kill() {
	p.expects.Store(true)
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.ended
}

// close ends the process in good order.
func (p *process) close() {
	p.in.Close()
	<-p.ended
}
