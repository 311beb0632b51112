package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// abandoned is set for a process that starts a cluster and waits to be killed.
const abandoned = "SPARKLOOP_PGTEST_ABANDONED"

func TestMain(m *testing.M) {
	if os.Getenv(abandoned) == "" {
		os.Exit(m.Run())
	}
	c, err := Start(context.Background())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.dir)
	fmt.Println(c.port)
	select {}
}

func psql(t *testing.T, c *Cluster, url, query string) string {
	t.Helper()
	out, err := c.output(t.Context(), "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname="+url, "--command="+query)
	require.NoError(t, err)
	return strings.TrimSpace(out)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	began := time.Now()
	c := New(t)
	t.Log("started in", time.Since(began))
	assert.Equal(t, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", c.port), c.URL())
	assert.Equal(t, "on|UTF8|C|64MB|400|127.0.0.1|", psql(t, c, c.URL(),
		`SELECT current_setting('fsync'), current_setting('server_encoding'), datcollate, current_setting('shared_buffers'),
			current_setting('max_connections'), current_setting('listen_addresses'), current_setting('unix_socket_directories')
		FROM pg_database WHERE datname = current_database()`))

	one, two := c.Database(t), c.Database(t)
	assert.NotEqual(t, one, two)
	psql(t, c, one, "CREATE TABLE held (value text); INSERT INTO held VALUES ('committed')")
	assert.Equal(t, "0", psql(t, c, two, "SELECT count(*) FROM pg_tables WHERE tablename = 'held'"), "the databases are apart")

	assert.ErrorContains(t, c.StartAgain(t.Context()), "already running")
	for _, end := range []func(context.Context) error{c.Crash, c.Stop} {
		pid := c.server.cmd.Process.Pid
		require.NoError(t, end(t.Context()))
		assertEnded(t, pid, c.port)
		assert.ErrorContains(t, end(t.Context()), "not running")
		_, err := c.CreateDatabase(t.Context())
		assert.ErrorContains(t, err, "Connection refused")

		began = time.Now()
		require.NoError(t, c.StartAgain(t.Context()))
		t.Log("started again in", time.Since(began))
		assert.Equal(t, "committed", psql(t, c, one, "SELECT value FROM held"))
	}

	pid := c.server.cmd.Process.Pid
	require.NoError(t, c.Close())
	assertEnded(t, pid, c.port)
	assert.NoDirExists(t, c.dir)
	assert.True(t, c.guard.cmd.ProcessState.Success(), "the guard has ended too")
	assert.NoError(t, c.Close(), "safe to repeat")
	assert.ErrorContains(t, c.StartAgain(t.Context()), "closed")
	assert.ErrorContains(t, c.Crash(t.Context()), "not running")
}

func assertEnded(t *testing.T, pid, port int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(syscall.Signal(0))
	}
	assert.ErrorIs(t, err, os.ErrProcessDone)
	assertRefused(t, port)
}

func assertRefused(t *testing.T, port int) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if assert.Error(t, err) {
		return
	}
	conn.Close()
}

func TestClusterEndedByItself(t *testing.T) {
	t.Parallel()
	c := New(t)

	require.NoError(t, c.server.cmd.Process.Signal(immediate))
	<-c.server.ended
	err := c.Stop(t.Context())
	assert.ErrorContains(t, err, "postgres had ended by itself")
	assert.ErrorContains(t, err, "received immediate shutdown request", "the log is in the error")
	require.NoError(t, c.StartAgain(t.Context()))

	require.NoError(t, c.Stop(t.Context()))
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	require.NoError(t, err)
	tries := 0
	require.NoError(t, c.start(t.Context(), func() error {
		if tries++; tries == 3 {
			l.Close()
		}
		return nil
	}), "the port is taken for a while")
	assert.Equal(t, 3, tries)

	require.NoError(t, c.Stop(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, c.StartAgain(ctx), context.Canceled)
	assertRefused(t, c.port)
}

func TestClusterOfKilledProcess(t *testing.T) {
	t.Parallel()
	if _, err := serverAccount(); err != nil {
		give(t, err, os.Getenv("CI"))
	}
	if _, err := find(os.Getenv("PATH"), places); err != nil {
		give(t, err, os.Getenv("CI"))
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), abandoned+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()         //nolint:errcheck // it is killed
	defer cmd.Process.Kill() //nolint:errcheck // it may have ended

	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	dir := lines.Text()
	require.DirExists(t, dir)
	require.True(t, lines.Scan())
	port, err := strconv.Atoi(lines.Text())
	require.NoError(t, err)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	conn.Close()

	require.NoError(t, cmd.Process.Kill())
	gone := func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	}
	require.Eventually(t, gone, 20*time.Second, 10*time.Millisecond)
	assertRefused(t, port)
}

func TestShared(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	assert.Same(t, c, Shared(t))
	again, err := ForExamples()
	require.NoError(t, err)
	assert.Same(t, c, again)
	require.NoError(t, Installed())

	urls := make(chan string)
	const parallel = 4
	for range parallel {
		go func() {
			url, err := c.CreateDatabase(t.Context())
			assert.NoError(t, err)
			urls <- url
		}()
	}
	seen := map[string]bool{}
	for range parallel {
		seen[<-urls] = true
	}
	assert.Len(t, seen, parallel)
}

func TestStartIsCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := Start(ctx)
	assert.Nil(t, c)
	if errors.Is(err, ErrNotInstalled) {
		give(t, err, os.Getenv("CI"))
	}
	assert.ErrorIs(t, err, context.Canceled)
}

func TestFind(t *testing.T) {
	t.Parallel()
	if _, err := serverAccount(); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	_, err := find("", nil)
	assert.ErrorIs(t, err, ErrNotInstalled)

	root := t.TempDir()
	install := func(dir string, programs ...string) string {
		t.Helper()
		dir = filepath.Join(root, dir)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		for _, program := range programs {
			require.NoError(t, os.WriteFile(filepath.Join(dir, program), nil, 0o700))
		}
		return dir
	}
	patterns := []string{filepath.Join(root, "lib", "*", "bin"), filepath.Join(root, "postgresql@*"), filepath.Join(root, "local")}
	clients := install("clients", "psql", "createdb")
	install("lib/17/bin", "postgres") // not all programs
	_, err = find(clients, patterns)
	assert.ErrorIs(t, err, ErrNotInstalled)
	assert.ErrorContains(t, err, "no initdb and postgres in PATH")

	for _, dir := range []string{"local", "lib/9.6/bin", "lib/15/bin", "postgresql@16"} { // each wins over the previous ones
		want := install(dir, "initdb", "postgres")
		got, err := find(clients, patterns)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}

	want := install("path", "initdb", "postgres")
	got, err := find(clients+string(filepath.ListSeparator)+want, patterns)
	require.NoError(t, err)
	assert.Equal(t, want, got, "PATH comes first")
}

func TestAnotherVersion(t *testing.T) {
	t.Parallel()
	if _, err := serverAccount(); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	dir := t.TempDir()
	_, err := programs(dir)
	require.ErrorContains(t, err, "SPARKLOOP_POSTGRES: no initdb and postgres in ")
	require.NotErrorIs(t, err, ErrNotInstalled, "a wrong folder skips nothing")
	for _, program := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, program), nil, 0o700))
	}
	got, err := programs(dir)
	require.NoError(t, err)
	assert.Equal(t, dir, got)
}

// fakeTB records how a test ends.
type fakeTB struct {
	testing.TB
	skipped, failed bool
}

func (f *fakeTB) Helper()      {}
func (f *fakeTB) Skip(...any)  { f.skipped = true }
func (f *fakeTB) Fatal(...any) { f.failed = true }

func TestGive(t *testing.T) {
	t.Parallel()
	_, notInstalled := find("", nil)
	for _, test := range []struct {
		err     error
		ci      string
		skipped bool
	}{
		{notInstalled, "", true},
		{notInstalled, "true", false},
		{errors.Join(ErrNotInstalled, errors.ErrUnsupported), "true", true},
		{errors.New("initdb failed"), "", false},
	} {
		tb := &fakeTB{}
		give(tb, test.err, test.ci)
		assert.Equal(t, test.skipped, tb.skipped, "%v, CI=%s", test.err, test.ci)
		assert.Equal(t, !test.skipped, tb.failed, "%v, CI=%s", test.err, test.ci)
	}
}
