package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
)

// makeOrders makes the shop's own table, which has the tracking in the order's
// row. The lock is for processes that start at the same time.
func makeOrders(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			SELECT pg_advisory_xact_lock(7263548190);
			CREATE SCHEMA IF NOT EXISTS `+shopSchema+`;
			CREATE TABLE IF NOT EXISTS `+shopSchema+`.orders (
				id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				tracking  text,
				paid_at timestamptz NOT NULL DEFAULT now()
			);
			CREATE INDEX IF NOT EXISTS orders_paid_at ON `+shopSchema+`.orders (paid_at)`)
		return err
	})
}

// insertOrder writes an order. NULL is the tracking of a buyer who did not come
// through SparkLoop.
func insertOrder(ctx context.Context, tx pgx.Tx, t sparkloop.Tracking) (id int64, err error) {
	err = tx.QueryRow(ctx, `INSERT INTO `+shopSchema+`.orders (tracking) VALUES ($1) RETURNING id`, t).Scan(&id)
	return id, err
}

// trackings makes a Source of the orders.
func trackings(pool *pgxpool.Pool) func(context.Context, time.Time) ([]sparkloop.Tracking, error) {
	return func(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error) {
		rows, err := pool.Query(ctx, `SELECT tracking FROM `+shopSchema+`.orders
			WHERE tracking IS NOT NULL AND paid_at >= $1`, since)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[sparkloop.Tracking])
	}
}
