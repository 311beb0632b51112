package story

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Process is another process of this program. It ends when this one ends or is
// killed.
type Process struct {
	cmd   *exec.Cmd
	stdin io.Closer // closed, it asks the process to end
	Said  string    // the first line that it prints
	rest  sync.WaitGroup
	dead  bool // it was killed
}

// StartProcess starts this program again, with the argument -child before args,
// and waits for the first line that it prints. Its main then calls [AsChild].
func StartProcess(ctx context.Context, env []string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, append([]string{"-child"}, args...)...) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = &stderr
	cmd.WaitDelay = 30 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = stdin.Close
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, stdin: stdin}
	reader := bufio.NewReader(stdout)
	line, err := reader.ReadString('\n')
	if err != nil {
		err = cmd.Wait() // which completes stderr
		return nil, fmt.Errorf("%s did not start: %w: %s", args, err, strings.TrimSpace(stderr.String()))
	}
	p.Said = strings.TrimSpace(line)
	p.rest.Go(func() { io.Copy(io.Discard, reader) }) //nolint:errcheck // its log, until it ends
	return p, nil
}

// PID is the ID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill is kill -9.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	p.dead = true
	p.rest.Wait()
	p.cmd.Wait() //nolint:errcheck // it was killed
	return nil
}

// End asks the process to end, and waits until it has ended.
func (p *Process) End() error {
	if p.dead {
		return nil
	}
	p.stdin.Close()
	p.rest.Wait()
	return p.cmd.Wait()
}

// AsChild returns a context that ends when in does: the standard input of a
// process that StartProcess started ends with the process that started it.
func AsChild(ctx context.Context, in io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, in) //nolint:errcheck // it ends, in whatever way
		cancel()
	}()
	return ctx
}
