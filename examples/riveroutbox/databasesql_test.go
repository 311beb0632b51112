package main

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// openForSQL opens the queue of a program that uses database/sql, or a library
// on top of it: GORM, sqlx, ent, bun. Source finds orders whose handler forgot to
// enqueue.
func openForSQL(ctx context.Context, pool *pgxpool.Pool, client *sparkloop.Client, o outbox.Options) (*sql.DB, *riveroutbox.Outbox, error) {
	db := stdlib.OpenDBFromPool(pool) // shares the queue's connections; lib/pq works too
	o.Source = func(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error) {
		return trackingsOf(ctx, db, since)
	}
	queue, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{Options: o})
	return db, queue, err
}

func trackingsOf(ctx context.Context, db *sql.DB, since time.Time) (all []sparkloop.Tracking, err error) {
	rows, err := db.QueryContext(ctx, `SELECT tracking FROM orders WHERE paid_at >= $1 AND refunded_at IS NULL AND tracking IS NOT NULL`, since)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t sparkloop.Tracking
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// placeBySQL stores the order and its conversion in one transaction.
func placeBySQL(ctx context.Context, db *sql.DB, queue *riveroutbox.Outbox, tracking sparkloop.Tracking) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.ExecContext(ctx, `INSERT INTO orders (tracking, paid_at) VALUES ($1, now())`, tracking); err != nil {
		return err
	}
	if err := queue.EnqueueSQL(ctx, tx, tracking); err != nil {
		return err
	}
	return tx.Commit()
}

func TestDatabaseSQL(t *testing.T) {
	t.Parallel()
	pool, _ := newPool(t)
	_, err := pool.Exec(t.Context(), `CREATE TABLE orders (tracking text, paid_at timestamptz, refunded_at timestamptz)`)
	require.NoError(t, err)
	api := sparklooptest.NewServer(t)
	_, enqueued := api.Click("", "")
	_, missed := api.Click("", "") // its handler forgot
	_, unpaid := api.Click("", "")
	_, refunded := api.Click("", "")
	_, err = pool.Exec(t.Context(), `INSERT INTO orders VALUES ($1, now(), NULL), (NULL, now(), NULL), ($2, NULL, NULL), ($3, now(), now())`,
		missed, unpaid, refunded)
	require.NoError(t, err)

	db, queue, err := openForSQL(t.Context(), pool, api.Client(), outbox.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, placeBySQL(t.Context(), db, queue, enqueued))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, api.WaitConfirmed(ctx, enqueued))
	require.NoError(t, api.WaitConfirmed(ctx, missed))
	require.NoError(t, queue.Close(ctx))
	stats, err := queue.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, stats.Swept, "not the unpaid one, and not the refunded one")
	require.NoError(t, db.Close())
}
