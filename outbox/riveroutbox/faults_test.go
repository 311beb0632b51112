package riveroutbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// fault skips a test that starts its own servers, or needs programs that few
// machines have. make faults runs it and prints its line.
func fault(t *testing.T) {
	t.Helper()
	if os.Getenv("SPARKLOOP_FAULTS") == "" {
		t.Skip("only in make faults")
	}
	t.Parallel()
}

// result is a row of the table that make faults prints.
func result(t *testing.T, what, format string, args ...any) {
	t.Helper()
	t.Logf("RESULT | %s | %s |", what, fmt.Sprintf(format, args...))
}

// delivered delivers n conversions through a queue, and returns the time taken.
func delivered(t *testing.T, box *Outbox, api *sparklooptest.Server, n int) time.Duration {
	t.Helper()
	began := time.Now()
	ts := make([]sparkloop.Tracking, n)
	for i := range ts {
		ts[i] = click(api)
		require.NoError(t, box.Enqueue(t.Context(), ts[i]))
	}
	for _, tracking := range ts {
		reaches(t, box, tracking, outbox.Confirmed)
	}
	return time.Since(began)
}

// TestFaultPgBouncer uses PgBouncer in transaction mode, in both documented ways,
// and in the way that loses prepared statements.
func TestFaultPgBouncer(t *testing.T) {
	fault(t)
	server := pgtest.Shared(t)
	through := func(t *testing.T, atLeast float64, mode pgx.QueryExecMode, settings ...string) *pgxpool.Pool {
		t.Helper()
		url := server.Bouncer(t, server.Database(t), atLeast, append(settings, "default_pool_size = 4")...)
		return poolOn(t, url, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
	}
	pollOnly := func(o *Options) { o.PollOnly = true }
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			api := newAPI(t)
			box := openBox(t, through(t, 1, mode), api.Client(), quick(pollOnly))
			result(t, "PgBouncer, transaction mode, default_query_exec_mode="+strings.ReplaceAll(mode.String(), " ", "_"),
				"300 conversions delivered in %.1fs", delivered(t, box, api, 300).Seconds())
		})
	}
	t.Run("prepared statements", func(t *testing.T) {
		api := newAPI(t)
		box := openBox(t, through(t, 1.21, pgx.QueryExecModeCacheStatement, "max_prepared_statements = 100"), api.Client(), quick(pollOnly))
		result(t, "PgBouncer 1.21 and later, max_prepared_statements", "300 conversions delivered in %.1fs", delivered(t, box, api, 300).Seconds())
	})
	t.Run("statements lost", func(t *testing.T) {
		const tries = 5
		pool := through(t, 1, pgx.QueryExecModeCacheStatement, "max_prepared_statements = 0")
		for range tries {
			_, err := Open(t.Context(), pool, newAPI(t).Client(), quick(pollOnly))
			require.ErrorIs(t, err, errPooler)
			pool.Reset()
		}
		result(t, "PgBouncer without prepared statements, pgx's default mode", "Open refuses it by name, %d of %[1]d times", tries)
	})
}

// TestFaultClock uses a database whose clock differs from the processes'.
func TestFaultClock(t *testing.T) {
	fault(t)
	for name, ahead := range map[string]time.Duration{
		"10 min behind": -10 * time.Minute, "10 min ahead": 10 * time.Minute, "2 h ahead": 2 * time.Hour, "46 days behind": -46 * day,
	} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.New(t)
			server.SetClock(t, ahead)
			api := newAPI(t)
			pool := poolOn(t, server.URL())
			box := openBox(t, pool, api.Client(), quick())
			api.Fail(sparklooptest.Status(500, ""), 20)
			took := delivered(t, box, api, 100)
			s, err := box.Stats(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []int{100, 0, 0}, []int{s.Confirmed, s.Expired, s.Dead})
			result(t, "The database's clock is "+name, "20 answers are 500: 100 of 100 confirmed in %.1fs, 0 expired", took.Seconds())
		})
	}
}

// TestFaultFailover makes the primary read-only and promotes a replica.
func TestFaultFailover(t *testing.T) {
	fault(t)
	old := pgtest.New(t)
	api := newAPI(t)
	require.NoError(t, Migrate(t.Context(), poolOn(t, old.URL()), ""))
	replica := old.Replica(t)
	admin := poolOn(t, replica.URL())
	_, err := Open(t.Context(), admin, api.Client(), quick())
	require.ErrorContains(t, err, "the database is read-only")

	host := func(url string) string { return strings.Split(strings.Split(url, "@")[1], "/")[0] }
	both := strings.Replace(old.URL(), host(old.URL()), host(old.URL())+","+host(replica.URL()), 1) + "&target_session_attrs=read-write"
	pool := poolOn(t, both)
	box := openBox(t, pool, api.Client(), quick())
	delivered(t, box, api, 20)

	var lag string
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		lag = one[string](c, poolOn(t, old.URL()), `SELECT coalesce(max(sent_lsn - replay_lsn), -1)::text FROM pg_stat_replication`)
		require.Equal(c, "0", lag)
	}, soonEnough, 200*time.Millisecond)
	before := poolOn(t, old.URL())
	_, err = before.Exec(t.Context(), "ALTER SYSTEM SET default_transaction_read_only = on")
	require.NoError(t, err)
	_, err = before.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "SELECT pg_promote()")
	require.NoError(t, err)

	began, failed := time.Now(), 0
	tracking := click(api)
	for box.Enqueue(t.Context(), tracking) != nil && failed < 1000 {
		failed++
		time.Sleep(20 * time.Millisecond) // like a caller that retries
	}
	reaches(t, box, tracking, outbox.Confirmed)
	took := time.Since(began)
	delivered(t, box, api, 100)
	result(t, "Failover: the old primary lives on read-only", "the first conversion is confirmed after %.1fs, %d calls of Enqueue failed; then 100 of 100", took.Seconds(), failed)
}

// TestFaultDiskFull puts the queue's table on a full volume.
func TestFaultDiskFull(t *testing.T) {
	fault(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a tmpfs")
	}
	dir, err := os.MkdirTemp("", "sparkloop-full-") //nolint:usetesting // a mount point
	require.NoError(t, err)
	t.Cleanup(func() { os.Remove(dir) })
	if out, err := osexec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a tmpfs cannot be mounted: %s", out)
	}
	server := pgtest.New(t)
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.NoError(t, osexec.CommandContext(context.WithoutCancel(t.Context()), "umount", dir).Run())
	})
	pool := poolOn(t, server.URL())
	space := filepath.Join(dir, "space")
	require.NoError(t, os.Mkdir(space, 0o777))
	require.NoError(t, osexec.CommandContext(t.Context(), "chown", "postgres", space).Run())
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick())
	delivered(t, box, api, 1)
	exec(t, pool, "CREATE TABLESPACE small LOCATION '"+space+"'")
	exec(t, pool, "ALTER TABLE {schema}.river_job SET TABLESPACE small")

	ballast := filepath.Join(dir, "ballast")
	fill, err := os.Create(ballast)
	require.NoError(t, err)
	chunk := make([]byte, 4096)
	for err == nil {
		_, err = fill.Write(chunk)
	}
	require.NoError(t, fill.Close())
	var stored []sparkloop.Tracking
	refused := 0
	for range 2000 {
		tracking := click(api)
		if box.Enqueue(t.Context(), tracking) == nil {
			stored = append(stored, tracking)
		} else if refused++; refused == 5 {
			break
		}
	}
	require.Equal(t, 5, refused)
	require.NoError(t, os.Remove(ballast))
	require.NoError(t, box.Enqueue(t.Context(), click(api)))
	for _, tracking := range stored {
		reaches(t, box, tracking, outbox.Confirmed)
	}
	result(t, "Disk full under PostgreSQL", "Enqueue fails, %d acknowledged before: all confirmed after space is there", len(stored))
}

// TestFaultHostsApart runs two processes in an outage, on a database whose clock is
// 10 minutes off. Together they send no more than one process does.
func TestFaultHostsApart(t *testing.T) {
	fault(t)
	server := pgtest.New(t)
	server.SetClock(t, -10*time.Minute)
	api := newAPI(t)
	pool := poolOn(t, server.URL())
	var log atomic.Int64
	options := quick(func(o *Options) {
		o.RetryMin, o.RetryMax = 200*time.Millisecond, time.Minute
		o.OnPaused = func(error) { log.Add(1) }
		o.Logger = slog.New(slog.DiscardHandler)
	})
	one, two := openBox(t, pool, api.Client(), options), openBox(t, poolOn(t, server.URL()), api.Client(), options)
	delivered(t, one, api, 1)
	api.Fail(sparklooptest.Status(503, ""), 1<<30)
	n := len(api.Requests())
	for range 20 {
		require.NoError(t, two.Enqueue(t.Context(), click(api)))
	}
	time.Sleep(10 * time.Second) // the outage continues
	n = len(api.Requests()) - n
	assert.Less(t, n, 40)
	result(t, "Two hosts, the database's clock is 10 min behind theirs, 503 for 10s", "%d requests, %d pauses", n, log.Load())
}
