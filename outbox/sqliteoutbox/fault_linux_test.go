package sqliteoutbox_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// TestFaultDiskFull puts the queue's file on a full volume. make faults runs it and
// prints its line.
func TestFaultDiskFull(t *testing.T) {
	if os.Getenv("SPARKLOOP_FAULTS") == "" {
		t.Skip("only in make faults")
	}
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a tmpfs")
	}
	dir, err := os.MkdirTemp("", "sparkloop-full-") //nolint:usetesting // a mount point
	require.NoError(t, err)
	t.Cleanup(func() { os.Remove(dir) })
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a tmpfs cannot be mounted: %s", out)
	}
	t.Cleanup(func() {
		assert.NoError(t, exec.CommandContext(context.WithoutCancel(t.Context()), "umount", dir).Run())
	})

	api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
	q, err := sqliteoutbox.Open(t.Context(), filepath.Join(dir, "sparkloop.db"), api.Client(),
		outbox.Options{RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond, Logger: new(logged).logger()})
	require.NoError(t, err)
	closed(t, q)
	var stored []sparkloop.Tracking
	enqueue := func() error {
		tracking := click(api)
		err := q.Enqueue(t.Context(), tracking)
		if err == nil {
			stored = append(stored, tracking)
		}
		return err
	}
	for range 20 {
		require.NoError(t, enqueue())
	}

	ballast := filepath.Join(dir, "ballast")
	fill, err := os.Create(ballast)
	require.NoError(t, err)
	for chunk := make([]byte, 4096); err == nil; {
		_, err = fill.Write(chunk)
	}
	require.NoError(t, fill.Close())
	refused := 0
	for range 2000 {
		if err := enqueue(); err != nil {
			assert.ErrorContains(t, err, "database or disk is full")
			if refused++; refused == 5 {
				break
			}
		}
	}
	require.Equal(t, 5, refused)
	acknowledged := len(stored)
	require.NoError(t, os.Remove(ballast))
	require.NoError(t, enqueue())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, tracking := range stored {
		require.NoError(t, api.WaitConfirmed(ctx, tracking))
	}
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Confirmed == len(stored) && s.Pending+s.Dead+s.Expired == 0
	}, time.Minute, 50*time.Millisecond)
	t.Logf("RESULT | Disk full under SQLite | Enqueue fails, %d acknowledged before: all confirmed after space is there |", acknowledged)
}
