package riveroutbox_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// connect stands for pgxpool.New with your DATABASE_URL. It creates a database in a
// private PostgreSQL.
func connect(ctx context.Context) *pgxpool.Pool {
	cluster, err := pgtest.ForExamples()
	if err != nil {
		log.Panic(err)
	}
	url, err := cluster.CreateDatabase(ctx)
	if err != nil {
		log.Panic(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		log.Panic(err)
	}
	return pool
}

// This example opens a queue and enqueues a conversion. The queue delivers it.
func Example() {
	api := sparklooptest.New() // stands for SparkLoop
	defer api.Close()
	ctx := context.Background()
	pool := connect(ctx)
	defer pool.Close() // last: the queue uses it

	confirmed := make(chan outbox.Entry, 1)
	queue, err := riveroutbox.Open(ctx, pool, api.Client(), riveroutbox.Options{Options: outbox.Options{
		OnConfirmed: func(e outbox.Entry) { confirmed <- e },
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, tracking := api.Click("", "https://shop.example/welcome")

	// In the handler of the purchase. nil means that the conversion is committed.
	if err := queue.Enqueue(ctx, tracking); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println((<-confirmed).Reason)

	stats, err := queue.Stats(ctx) // for metrics, and for the status page
	fmt.Println(stats.Confirmed, stats.Pending, err)

	// At the end of the program, after the HTTP server's Shutdown.
	if err := queue.Close(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Conversion tracked successfully
	// 1 0 <nil>
}

// The order and its conversion are stored in one transaction: both or neither.
func ExampleOutbox_EnqueueTx() {
	api := sparklooptest.New()
	defer api.Close()
	ctx := context.Background()
	pool := connect(ctx)
	defer pool.Close()
	if _, err := pool.Exec(ctx, `CREATE TABLE orders (product text, tracking text)`); err != nil {
		fmt.Println(err)
		return
	}
	queue, err := riveroutbox.Open(ctx, pool, api.Client(), riveroutbox.Options{Options: outbox.Options{
		Workers: -1, // this process only enqueues; another one delivers
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close(ctx)

	declined := errors.New("the card was declined")
	place := func(tracking sparkloop.Tracking, payment error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1, $2)`, "notebook", tracking); err != nil {
				return err
			}
			if err := queue.EnqueueTx(ctx, tx, tracking); err != nil {
				return err
			}
			return payment // an error rolls back both
		})
	}
	_, first := api.Click("", "https://shop.example/welcome")
	_, second := api.Click("", "https://shop.example/welcome")
	fmt.Println(place(first, nil))
	fmt.Println(place(second, declined))

	_, stored, err := queue.Lookup(ctx, first)
	fmt.Println("first:", stored, err)
	_, stored, err = queue.Lookup(ctx, second)
	fmt.Println("second:", stored, err)
	// Output:
	// <nil>
	// the card was declined
	// first: true <nil>
	// second: false <nil>
}

// EnqueueSQL takes a transaction of database/sql, or of a library on top of it: GORM,
// sqlx, ent, bun.
func ExampleOutbox_EnqueueSQL() {
	api := sparklooptest.New()
	defer api.Close()
	ctx := context.Background()
	pool := connect(ctx)
	defer pool.Close()
	queue, err := riveroutbox.Open(ctx, pool, api.Client(), riveroutbox.Options{Options: outbox.Options{Workers: -1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close(ctx)
	db := stdlib.OpenDBFromPool(pool) // or your own *sql.DB on the same database
	defer db.Close()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	_, tracking := api.Click("", "https://shop.example/welcome")
	if err := queue.EnqueueSQL(ctx, tx, tracking); err != nil { // beside the INSERT of the order
		fmt.Println(err)
		return
	}
	fmt.Println(tx.Commit())

	entry, stored, err := queue.Lookup(ctx, tracking)
	fmt.Println(entry.State, stored, err)
	// Output:
	// <nil>
	// pending true <nil>
}
