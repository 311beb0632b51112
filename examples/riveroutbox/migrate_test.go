package main

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// openRestricted opens the queue where an administrator has run MigrationSQL,
// behind a PgBouncer.
func openRestricted(ctx context.Context, pool *pgxpool.Pool, client *sparkloop.Client) (*riveroutbox.Outbox, error) {
	queue, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{
		Options:  outbox.Options{NoMigrate: true},
		PollOnly: true, // PgBouncer in transaction mode passes on no LISTEN
	})
	return queue, err
}

func TestARoleThatMayNotCreateTables(t *testing.T) {
	t.Parallel()
	admin, address := newPool(t)
	const role = "restricted_shop"
	run := func(script string) {
		conn, err := admin.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Conn().PgConn().Exec(t.Context(), script).ReadAll()
		require.NoError(t, err)
	}
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.User(role)
	query := u.Query()
	query.Set("default_query_exec_mode", "exec")
	u.RawQuery = query.Encode()
	pool, err := pgxpool.New(t.Context(), u.String())
	require.NoError(t, err)
	defer pool.Close()
	api := sparklooptest.NewServer(t)

	run(`CREATE ROLE ` + role + ` LOGIN`)
	_, err = openRestricted(t.Context(), pool, api.Client())
	require.ErrorContains(t, err, "MigrationSQL")
	script := riveroutbox.MigrationSQL("")
	run(script)
	_, err = openRestricted(t.Context(), pool, api.Client())
	require.ErrorContains(t, err, "lacks rights")
	// The rights are comments at the end.
	_, rights, _ := strings.Cut(strings.ReplaceAll(script, "your_role", role), "\n-- GRANT")
	run(strings.ReplaceAll("\n-- GRANT"+rights, "\n-- ", "\n"))

	queue, err := openRestricted(t.Context(), pool, api.Client())
	require.NoError(t, err)
	_, tracking := api.Click("", "")
	require.NoError(t, queue.Enqueue(t.Context(), tracking))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	assert.NoError(t, api.WaitConfirmed(ctx, tracking))
	require.NoError(t, queue.Close(ctx))
}
