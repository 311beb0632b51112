// Package pgtest runs a private PostgreSQL server with the binaries installed
// on the machine. It is for tests and demonstrations.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ErrNotInstalled matches the error of Start if PostgreSQL's server is not
// found. On systems other than Unix the error also matches
// errors.ErrUnsupported.
var ErrNotInstalled = errors.New("pgtest: not installed")

const (
	startTimeout = time.Minute      // for initdb and for each start, besides the context
	closeTimeout = 10 * time.Second // then the server is killed
	portTries    = 20
	portPause    = 100 * time.Millisecond // before the same port is tried again
	readyPause   = 5 * time.Millisecond
	logLines     = 15 // of the log in an error
)

// Cluster is one PostgreSQL server with its data. It is safe for concurrent
// use.
//
// The server listens only on 127.0.0.1, on a port that never changes, without a
// socket file. Every local user may connect without a password. Committed data
// survives Crash: fsync is on. Locale C, UTF-8, at most 400 connections.
//
// If the process ends without Close, or is killed, the server is stopped and
// its folder removed soon after. Ctrl-C does not reach the server.
type Cluster struct {
	bin, dir  string
	as        *account
	port      int
	guard     *guard
	databases atomic.Int64

	mu     sync.Mutex
	env    []string // in addition to the server's own
	server *server  // nil when stopped
	closed bool
}

// server is a running postmaster.
type server struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // the reason of the end, once ended
}

// Start creates a cluster in a temporary folder and starts it. This takes one
// or two seconds, mostly for initdb. The context, and a limit of one minute,
// applies only to the start: the cluster runs until Stop, Crash or Close. The
// error matches ErrNotInstalled if PostgreSQL is neither in PATH nor in the
// usual folders. The environment variable SPARKLOOP_POSTGRES selects another
// folder of programs.
//
// As root, the server runs as the user postgres or nobody, because PostgreSQL
// refuses to run as root.
func Start(ctx context.Context) (*Cluster, error) {
	as, err := serverAccount()
	if err != nil {
		return nil, err
	}
	bin, err := programs(os.Getenv("SPARKLOOP_POSTGRES"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(tempDir(as), "pgtest-")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	c := &Cluster{bin: bin, dir: dir, as: as}
	if err := c.make(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// New starts a cluster and closes it when the test ends. If PostgreSQL is not
// installed, the test is skipped, or fails if CI=true is set.
func New(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := Start(tb.Context())
	if err != nil {
		give(tb, err, os.Getenv("CI"))
		return nil
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// Shared returns the one cluster of a test binary. The first call starts it,
// and it runs until the process ends: never call Crash, Stop or Close on it. It
// skips and fails as New does.
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := shared()
	if err != nil {
		give(tb, err, os.Getenv("CI"))
		return nil
	}
	return c
}

// ForExamples returns the same cluster as Shared, for an Example function, which
// has no testing.TB.
func ForExamples() (*Cluster, error) { return shared() }

// Installed returns an error that matches ErrNotInstalled if Start would return
// it.
func Installed() error {
	if _, err := serverAccount(); err != nil {
		return err
	}
	_, err := programs(os.Getenv("SPARKLOOP_POSTGRES"))
	return err
}

var shared = sync.OnceValues(func() (*Cluster, error) { return Start(context.Background()) })

// give skips or fails a test without a cluster.
func give(tb testing.TB, err error, ci string) {
	tb.Helper()
	if errors.Is(err, ErrNotInstalled) && (ci != "true" || errors.Is(err, errors.ErrUnsupported)) {
		tb.Skip(err)
		return
	}
	tb.Fatal(err)
}

// URL returns the address of the database postgres, as superuser. It never
// changes.
func (c *Cluster) URL() string { return c.url("postgres") }

func (c *Cluster) url(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", c.port, database)
}

// CreateDatabase creates an empty database with a new name and returns its
// address, as superuser.
func (c *Cluster) CreateDatabase(ctx context.Context) (url string, err error) {
	name := fmt.Sprintf("pgtest_%d", c.databases.Add(1))
	if err := c.run(ctx, "createdb", "--maintenance-db="+c.URL(), name); err != nil {
		return "", err
	}
	return c.url(name), nil
}

// Database calls CreateDatabase and fails the test on an error.
func (c *Cluster) Database(tb testing.TB) (url string) {
	tb.Helper()
	url, err := c.CreateDatabase(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// Crash ends the server at once, like pg_ctl stop -m immediate: connections
// break, no more data is written, and StartAgain recovers. It returns when the
// server has ended. It returns an error if the server is not running.
func (c *Cluster) Crash(ctx context.Context) error { return c.end(ctx, immediate) }

// Stop ends the server in order, like pg_ctl stop -m fast: transactions are
// rolled back and connections closed. It returns when the server has ended. If
// the context ends first, the server still stops, and you may call Stop again.
// It returns an error if the server is not running.
func (c *Cluster) Stop(ctx context.Context) error { return c.end(ctx, fast) }

func (c *Cluster) end(ctx context.Context, how os.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.server
	if s == nil {
		return errors.New("pgtest: the server is not running")
	}
	if err := s.cmd.Process.Signal(how); err != nil {
		if !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("pgtest: %w", err)
		}
		<-s.ended
		c.server = nil
		return c.failed("postgres had ended by itself", s.err)
	}
	select {
	case <-s.ended:
		c.server = nil
		return nil
	case <-ctx.Done():
		return c.failed("postgres has not ended yet", ctx.Err())
	}
}

// StartAgain starts the server after Crash or Stop, with the same data and URL.
// It returns when the server accepts connections. It returns an error unless
// Crash or Stop was called before, even if the server ended on its own.
func (c *Cluster) StartAgain(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errors.New("pgtest: the cluster is closed")
	case c.server != nil:
		return errors.New("pgtest: the server is already running")
	}
	return c.start(ctx, func() error { return nil })
}

// Close ends the server if it is running, and removes the cluster's folder.
// Later calls do nothing.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.server != nil {
		c.server.kill()
		c.server = nil
	}
	err := os.RemoveAll(c.dir)
	if c.guard != nil {
		c.guard.dismiss()
	}
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	return nil
}

// kill ends the server in any state.
func (s *server) kill() {
	s.cmd.Process.Signal(immediate) //nolint:errcheck // it may have ended
	select {
	case <-s.ended:
	case <-time.After(closeTimeout):
		s.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-s.ended
	}
}

// make creates the folder and starts the server for the first time.
func (c *Cluster) make(ctx context.Context) error {
	if err := c.as.own(c.dir); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	err := c.run(ctx, "initdb", "--pgdata="+c.data(), "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return err
	}
	if c.guard, err = c.watch(ctx); err != nil {
		return err
	}
	return c.start(ctx, func() (err error) {
		c.port, err = freePort()
		return err
	})
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.dir, "log") }

// start starts the server, and retries while another process has its port. It
// calls before ahead of each try; before may choose another port.
func (c *Cluster) start(ctx context.Context, before func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for try := 1; ; try++ {
		if err := before(); err != nil {
			return err
		}
		s, err := c.launch(ctx)
		if err == nil {
			c.server = s
			return nil
		}
		if try == portTries || !strings.Contains(err.Error(), "could not create any TCP/IP sockets") {
			return err
		}
		select {
		case <-time.After(portPause):
		case <-ctx.Done():
			return err
		}
	}
}

// launch runs the server as a child of this process, without a shell or pg_ctl
// in between. It returns when the server accepts connections.
func (c *Cluster) launch(ctx context.Context) (*server, error) {
	log, err := os.Create(c.log())
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	defer log.Close() //nolint:errcheck // the server writes to its own copy
	cmd := c.command(context.WithoutCancel(ctx), "postgres", "-D", c.data(), "-p", strconv.Itoa(c.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "shared_buffers=64MB", "-c", "max_connections=400")
	cmd.Env = append(cmd.Env, c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s := &server{cmd: cmd, ended: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	tick := time.NewTicker(readyPause)
	defer tick.Stop()
	for !c.ready(cmd.Process.Pid) {
		select {
		case <-tick.C:
		case <-s.ended:
			return nil, c.failed("postgres does not start", s.err)
		case <-ctx.Done():
			s.kill()
			return nil, c.failed("postgres has not started in time", ctx.Err())
		}
	}
	return s, nil
}

// ready reads postmaster.pid, as pg_ctl does. A connection could reach another
// server on the same port.
func (c *Cluster) ready(pid int) bool {
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) > 7 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// failed returns an error with the end of the server's log.
func (c *Cluster) failed(what string, err error) error {
	if err == nil {
		err = errors.New("no error")
	}
	log, _ := os.ReadFile(c.log()) // may not exist
	return fmt.Errorf("pgtest: %s: %w%s", what, err, tail(log))
}

// tail returns the last lines of a log, each after a line break.
func tail(log []byte) string {
	lines := strings.Split(string(bytes.TrimSpace(log)), "\n")
	if lines[0] == "" {
		return ""
	}
	return "\n\t" + strings.Join(lines[max(0, len(lines)-logLines):], "\n\t")
}

// run runs one of PostgreSQL's programs to its end.
func (c *Cluster) run(ctx context.Context, program string, args ...string) error {
	_, err := c.output(ctx, program, args...)
	return err
}

func (c *Cluster) output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := c.command(ctx, program, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err() // instead of "killed"
	}
	if err != nil {
		return "", fmt.Errorf("pgtest: %s: %w%s", program, err, tail(out))
	}
	return string(out), nil
}

// command returns a command for one of PostgreSQL's programs. It runs as the
// server's user, apart from the terminal, without variables such as PGHOST and
// PGOPTIONS. On some systems clients such as createdb are elsewhere, in PATH.
func (c *Cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	path := filepath.Join(c.bin, program)
	if _, err := os.Stat(path); err != nil {
		path = program
	}
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the installed PostgreSQL, with our own arguments
	cmd.Dir = c.dir                                // the server's user may not read ours
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") })
	cmd.Env = append(cmd.Env, "LC_ALL=C", "HOME="+c.dir)
	cmd.WaitDelay = time.Second // initdb's children keep its output open
	c.as.detach(cmd)
	return cmd
}

// freePort returns a free port below the range for outgoing connections. A port
// in that range could be taken while the server is down, even by a client that
// dials it and connects to itself.
func freePort() (int, error) {
	var err error
	for range portTries {
		port := 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close() //nolint:errcheck // nothing is lost
			return port, nil
		}
	}
	return 0, fmt.Errorf("pgtest: no free port: %w", err)
}
