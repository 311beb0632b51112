package sqliteoutbox_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestAnOrderAndItsConversionAreOne(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	db := shop(t, settings)
	q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), outbox.Options{})
	require.NoError(t, err)
	closed(t, q)
	require.ErrorContains(t, q.EnqueueTx(t.Context(), nil, click(api)), "the transaction is nil")
	require.ErrorContains(t, q.EnqueueTx(t.Context(), (*sql.Tx)(nil), click(api)), "the transaction is nil")

	for _, commit := range []bool{false, true} {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		tracking := click(api)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO orders (tracking) VALUES (?)", tracking)
		require.NoError(t, err)
		require.NoError(t, q.EnqueueTx(t.Context(), tx, tracking))
		if !commit {
			require.NoError(t, tx.Rollback())
			_, known, err := q.Lookup(t.Context(), tracking)
			require.NoError(t, err)
			assert.False(t, known)
			continue
		}
		require.NoError(t, tx.Commit())
		require.NoError(t, api.WaitConfirmed(t.Context(), tracking))
	}
	var orders int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&orders))
	assert.Equal(t, 1, orders)
}

// In a pool of one connection, EnqueueTx uses the transaction's. Enqueue returns
// an error within waitMax.
func TestAPoolOfOneConnection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		db, err := sql.Open("sqlite", "file:"+path+settings)
		require.NoError(t, err)
		defer db.Close()
		db.SetMaxOpenConns(1)
		q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(), outbox.Options{Logger: new(logged).logger()})
		require.NoError(t, err)

		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		tracking := click(api)
		began := time.Now()
		err = q.Enqueue(t.Context(), tracking)
		require.ErrorContains(t, err, "the database was busy for 10s")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 10*time.Second, time.Since(began))
		require.NoError(t, q.EnqueueTx(t.Context(), tx, tracking))
		require.NoError(t, tx.Commit())
		require.NoError(t, api.WaitConfirmed(t.Context(), tracking))
		require.NoError(t, q.Close(t.Context()))
	})
}
