package riveroutbox

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
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
)

// TestIsolationLevels starts several processes at the same time, which enqueue the
// same conversions and deliver them, with each level as the default.
func TestIsolationLevels(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Shared(t).Database(t)
			api := newAPI(t)
			const processes, each = 3, 40
			ts := make([]sparkloop.Tracking, each)
			for i := range ts {
				ts[i] = click(api)
			}
			var all sync.WaitGroup
			for range processes {
				pool := poolOn(t, url, settings(pgx.QueryExecModeCacheStatement, "default_transaction_isolation", level))
				all.Go(func() {
					box, err := Open(t.Context(), pool, api.Client(), quick())
					if !assert.NoError(t, err) {
						return
					}
					var callers sync.WaitGroup
					for _, tracking := range ts {
						callers.Go(func() { assert.NoError(t, box.Enqueue(t.Context(), tracking)) })
					}
					callers.Wait()
					assert.EventuallyWithT(t, func(c *assert.CollectT) {
						s, err := box.Stats(t.Context())
						require.NoError(c, err)
						require.Equal(c, each, s.Confirmed)
					}, soonEnough, 20*time.Millisecond)
					assert.NoError(t, box.Close(context.WithoutCancel(t.Context())))
				})
			}
			all.Wait()
		})
	}
}

// TestRetriesWhatPostgreSQLAsksFor makes statements fail as a deadlock's victim.
func TestRetriesWhatPostgreSQLAsksFor(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	exec(t, pool, `CREATE SEQUENCE tries`)
	exec(t, pool, `CREATE FUNCTION victim(code text, times bigint) RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE n bigint := nextval('tries');
		BEGIN IF n <= times THEN RAISE 'fails' USING ERRCODE = code; END IF; RETURN n; END $$`)
	for _, code := range []string{serializationFailure, deadlockDetected} {
		var n int
		require.NoError(t, db{pool: pool}.scan(t.Context(), []any{&n}, `SELECT victim($1, 7)`, code))
		assert.Equal(t, 8, n)
		exec(t, pool, `ALTER SEQUENCE tries RESTART`)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := db{pool: pool}.Exec(ctx, `SELECT victim('40001', 1000000)`)
	require.ErrorIs(t, err, context.DeadlineExceeded, "until the context ends")
	_, err = db{pool: pool}.Exec(t.Context(), `SELECT victim('23505', 1000000)`)
	require.ErrorContains(t, err, "fails")
	assert.True(t, permanent(err))
	// The connection of the cancelled call may still be closing.
	assert.Eventually(t, func() bool { return pool.Stat().TotalConns() == 1 }, 10*time.Second, 5*time.Millisecond, "no connection is lost")
}

// TestFailover uses connections to the old primary, which is read-only.
func TestFailover(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	old := make([]*pgxpool.Conn, 6)
	for i := range old {
		var err error
		old[i], err = pool.Acquire(t.Context())
		require.NoError(t, err)
		_, err = old[i].Exec(t.Context(), "SET default_transaction_read_only = on")
		require.NoError(t, err)
	}
	for _, conn := range old {
		conn.Release()
	}
	tracking := click(api)
	require.NoError(t, box.Enqueue(t.Context(), tracking))
	_, known, err := box.Lookup(t.Context(), tracking)
	require.NoError(t, err)
	assert.True(t, known)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			assert.Equal(t, "off", one[string](t, pool, "SELECT current_setting('transaction_read_only') FROM pg_sleep(0.05)"), "none is left")
		})
	}
	all.Wait()
}

// TestReadOnly uses a read-only database. The error comes at once, and the pool is
// not reset again and again.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	exec(t, pool, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	pool.Reset()
	err := box.Enqueue(t.Context(), click(api))
	require.ErrorContains(t, err, "25006")
	_, err = box.Stats(t.Context())
	require.NoError(t, err, "reads still work")
}

// TestBlackhole uses a network that accepts all data and returns none.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	var hole atomic.Bool
	pool := poolOn(t, pgtest.Shared(t).Database(t), func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &holed{conn, &hole}, err
		}
	})
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	hole.Store(true)
	began := time.Now()
	var all sync.WaitGroup
	for _, call := range []func(ctx context.Context) error{
		func(ctx context.Context) error { return box.Enqueue(ctx, click(api)) },
		func(ctx context.Context) error { _, err := box.Stats(ctx); return err },
		func(ctx context.Context) error { _, err := box.Redrive(ctx, 1); return err },
		func(ctx context.Context) error { _, err := box.RedriveAll(ctx, outbox.Dead); return err },
		func(ctx context.Context) error { _, _, err := box.Lookup(ctx, click(api)); return err },
		func(ctx context.Context) (last error) {
			for _, err := range box.List(ctx, outbox.Dead) {
				last = err
			}
			return last
		},
	} {
		all.Go(func() {
			err := call(context.WithoutCancel(t.Context()))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "the database did not answer within 10s")
		})
	}
	all.Wait()
	assert.Less(t, time.Since(began), statementMax+5*time.Second)
	hole.Store(false)
	require.NoError(t, box.Enqueue(t.Context(), click(api)))
}

type holed struct {
	net.Conn
	hole *atomic.Bool
}

func (c *holed) Write(b []byte) (int, error) {
	if c.hole.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *holed) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if !c.hole.Load() || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
	}
}
