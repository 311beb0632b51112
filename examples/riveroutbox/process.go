package main

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
)

// process is another process of this program. It ends when this one ends or is
// killed.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer // closed, it asks the process to end
	said  string    // its first line
	rest  sync.WaitGroup
	dead  bool // it was killed
}

// startProcess starts one and waits for the first line that it prints.
func startProcess(ctx context.Context, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, append([]string{"-child"}, args...)...) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = &stderr
	cmd.WaitDelay = closeMax
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
	p := &process{cmd: cmd, stdin: stdin}
	reader := bufio.NewReader(stdout)
	line, err := reader.ReadString('\n')
	if err != nil {
		err = cmd.Wait() // which completes stderr
		return nil, fmt.Errorf("%s did not start: %w: %s", args, err, strings.TrimSpace(stderr.String()))
	}
	p.said = strings.TrimSpace(line)
	p.rest.Go(func() { io.Copy(io.Discard, reader) }) //nolint:errcheck // its log, until it ends
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill is kill -9.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	p.dead = true
	p.rest.Wait()
	p.cmd.Wait() //nolint:errcheck // it was killed
	return nil
}

// end asks the process to end, and waits until it has ended.
func (p *process) end() error {
	if p.dead {
		return nil
	}
	p.stdin.Close()
	p.rest.Wait()
	return p.cmd.Wait()
}
