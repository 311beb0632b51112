package sqliteoutbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/chaos"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

// engine is the SQLite engine of the chaos stories.
var engine = chaos.Engine{
	Name:      "SQLite",
	Processes: 1,
	Open: func(ctx context.Context, path string, c *sparkloop.Client, o outbox.Options) (outbox.Queue, error) {
		return sqliteoutbox.Open(ctx, path, c, o)
	},
	Fresh:   freshFile,
	Trouble: chaos.Trouble{Name: "file busy", Fresh: busyFile},
}

// lockVariable makes the test binary a process that locks a file. Its value is the
// duration, a space, and the file's path.
const lockVariable = "SPARKLOOP_CHAOS_LOCK"

func TestMain(m *testing.M) {
	if text := os.Getenv(lockVariable); text != "" {
		if err := hold(context.Background(), text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if !chaos.Process(engine) {
		os.Exit(m.Run())
	}
}

func TestChaos(t *testing.T) {
	t.Parallel()
	chaos.Run(t, engine)
}

func freshFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "sparkloop.db")
}

// busyFile returns a file, and a function that makes another process hold the
// file's lock for about a second. Each fifth time the lock outlasts the busy timeout
// of the queue's connections.
func busyFile(t *testing.T) (path string, strike func(context.Context) error) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	path = freshFile(t)
	strikes := 0
	return path, func(ctx context.Context) error {
		d := 1200 * time.Millisecond
		if strikes++; strikes%5 == 0 {
			d = 6 * time.Second
		}
		cmd := exec.CommandContext(ctx, program)
		cmd.Env = append(os.Environ(), lockVariable+"="+d.String()+" "+path)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("lock the file: %w: %s", err, said)
		}
		return nil
	}
}

// hold takes the write lock, and keeps it for a time.
func hold(ctx context.Context, text string) error {
	duration, path, _ := strings.Cut(text, " ")
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	<-time.After(d)
	return tx.Rollback()
}
