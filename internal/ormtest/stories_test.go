package ormtest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// engine is a queue in the application's database.
type engine struct {
	outbox.Queue
	enqueue func(ctx context.Context, tx outbox.Execer, t sparkloop.Tracking) error
}

// run runs the stories with each library. refuse makes the database reject a
// submission.
func run(t *testing.T, d dialect, db *sql.DB, api *sparklooptest.Server, q engine, refuse func(submission string)) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "CREATE TABLE orders (tracking TEXT PRIMARY KEY)")
	require.NoError(t, err)
	clicked := func() sparkloop.Tracking {
		_, click := api.Click("", "https://shop.example/")
		return click
	}
	known := func(t *testing.T, tracking sparkloop.Tracking) (order, conversion bool) {
		t.Helper()
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders WHERE tracking = "+d.placeholder, tracking.Key()).Scan(&n))
		_, conversion, err := q.Lookup(t.Context(), tracking)
		require.NoError(t, err)
		return n == 1, conversion
	}
	for name, begin := range libraries {
		t.Run(name, func(t *testing.T) {
			t.Run("commits together", func(t *testing.T) {
				click := clicked()
				tx := begin(t, d, db)
				require.NoError(t, tx.insert(order{click.Key()}))
				require.NoError(t, q.enqueue(t.Context(), tx, click))
				require.NoError(t, q.enqueue(t.Context(), tx, click), "twice")
				require.NoError(t, tx.commit())
				within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				require.NoError(t, api.WaitConfirmed(within, click))
			})
			t.Run("rolls back together", func(t *testing.T) {
				click := clicked()
				tx := begin(t, d, db)
				require.NoError(t, tx.insert(order{click.Key()}))
				require.NoError(t, q.enqueue(t.Context(), tx, click))
				require.NoError(t, tx.rollback())
				order, conversion := known(t, click)
				assert.False(t, order)
				assert.False(t, conversion)
			})
			t.Run("a savepoint that succeeds", func(t *testing.T) {
				click := clicked()
				tx := begin(t, d, db)
				require.NoError(t, tx.insert(order{click.Key()}))
				require.NoError(t, tx.savepoint(t.Context(), func(tx outbox.Execer) error { return q.enqueue(t.Context(), tx, click) }))
				require.NoError(t, tx.commit())
				order, conversion := known(t, click)
				assert.True(t, order)
				assert.True(t, conversion)
			})
			t.Run("a savepoint saves the order", func(t *testing.T) {
				click := clicked()
				refuse(click.Submission)
				tx := begin(t, d, db)
				require.NoError(t, tx.insert(order{click.Key()}))
				var said error
				err := tx.savepoint(t.Context(), func(tx outbox.Execer) error {
					said = q.enqueue(t.Context(), tx, click)
					return said
				})
				require.ErrorContains(t, said, "refused")
				require.ErrorIs(t, err, errors.Unwrap(said))
				require.NoError(t, tx.commit())
				order, conversion := known(t, click)
				assert.True(t, order)
				assert.False(t, conversion)
			})
		})
	}
}
