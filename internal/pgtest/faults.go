package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Bouncer starts PgBouncer in front of a cluster, in transaction mode with
// settings for its section [pgbouncer]. It returns the address of a database
// through PgBouncer, which ends with the test. The test is skipped if PgBouncer
// is not installed or older than atLeast, for example 1.21. If it is not
// installed and CI=true is set, the test fails.
func (c *Cluster) Bouncer(tb testing.TB, url string, atLeast float64, settings ...string) string {
	tb.Helper()
	program := installed(tb, "pgbouncer", "/usr/sbin/pgbouncer")
	said, err := exec.CommandContext(tb.Context(), program, "--version").Output() //nolint:gosec // an installed program
	if err != nil {
		tb.Fatal(err)
	}
	is, _ := strconv.ParseFloat(version.FindString(string(said)), 64)
	if is < atLeast {
		tb.Skipf("pgtest: PgBouncer is %v, and the test needs %v", is, atLeast)
	}
	if is < 1.21 { // rejects unknown settings
		settings = slices.DeleteFunc(slices.Clone(settings), func(s string) bool { return strings.HasPrefix(s, "max_prepared_statements") })
	}
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	config := filepath.Join(c.dir, "pgbouncer-"+strconv.Itoa(port)+".ini")
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = transaction\n%s\n", c.port, port, strings.Join(settings, "\n"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil { //nolint:gosec // the server's user reads it
		tb.Fatal(err)
	}
	var log bytes.Buffer
	cmd := c.command(context.WithoutCancel(tb.Context()), program, "-q", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // it was killed
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for until := time.Now().Add(startTimeout); ; {
		conn, err := new(net.Dialer).DialContext(tb.Context(), "tcp", address)
		if err == nil {
			conn.Close()
			return strings.Replace(url, "127.0.0.1:"+strconv.Itoa(c.port), address, 1)
		}
		if time.Now().After(until) {
			tb.Fatalf("pgtest: PgBouncer does not start: %v\n%s", err, log.String())
		}
		time.Sleep(readyPause)
	}
}

// SetClock restarts the server with a clock ahead of the machine's, or behind
// it if ahead is negative. If libfaketime is not installed, the test is
// skipped, or fails if CI=true is set.
func (c *Cluster) SetClock(tb testing.TB, ahead time.Duration) {
	tb.Helper()
	libraries, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // the pattern is valid
	if len(libraries) == 0 {
		give(tb, fmt.Errorf("%w: libfaketime", ErrNotInstalled), os.Getenv("CI"))
	}
	if err := c.Stop(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	c.mu.Lock()
	c.env = []string{"LD_PRELOAD=" + libraries[0], fmt.Sprintf("FAKETIME=%+.0fs", ahead.Seconds()), "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	c.mu.Unlock()
	if err := c.StartAgain(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Replica starts a hot standby of a cluster, which ends with the test.
func (c *Cluster) Replica(tb testing.TB) *Cluster {
	tb.Helper()
	dir, err := os.MkdirTemp(tempDir(c.as), "pgtest-") //nolint:usetesting // the server's user must be able to read it
	if err != nil {
		tb.Fatal(err)
	}
	r := &Cluster{bin: c.bin, dir: dir, as: c.as}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	installed(tb, filepath.Join(c.bin, "pg_basebackup"), "pg_basebackup")
	if err := c.as.own(dir); err != nil {
		tb.Fatal(err)
	}
	err = r.run(tb.Context(), "pg_basebackup", "--dbname="+c.URL(), "--pgdata="+r.data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	if err != nil {
		tb.Fatal(err)
	}
	if r.guard, err = r.watch(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	err = r.start(tb.Context(), func() (err error) {
		r.port, err = freePort()
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// installed returns the path of the first installed program.
func installed(tb testing.TB, names ...string) string {
	tb.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	give(tb, fmt.Errorf("%w: %s", ErrNotInstalled, names[0]), os.Getenv("CI"))
	return ""
}
