package sqliteoutbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// temporary creates a folder for an example. Use a folder that survives a deploy.
func temporary() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// This example opens a queue and enqueues a conversion. The queue delivers it.
func Example() {
	api := sparklooptest.New() // stands for SparkLoop
	defer api.Close()
	dir, remove := temporary()
	defer remove()
	ctx := context.Background()

	confirmed := make(chan outbox.Entry, 1)
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), api.Client(), outbox.Options{
		OnConfirmed: func(e outbox.Entry) { confirmed <- e },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, tracking := api.Click("", "https://shop.example/welcome")

	// In the handler of the purchase. nil means that the conversion is on disk.
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
	dir, remove := temporary()
	defer remove()
	ctx := context.Background()

	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `CREATE TABLE orders (product TEXT, tracking TEXT)`); err != nil {
		fmt.Println(err)
		return
	}
	queue, err := sqliteoutbox.OpenDB(ctx, db, api.Client(), outbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close(ctx)

	place := func(tracking sparkloop.Tracking, paid bool) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES (?, ?)`, "notebook", tracking); err != nil {
			return err
		}
		if err := queue.EnqueueTx(ctx, tx, tracking); err != nil {
			return err
		}
		if !paid {
			return nil // the rollback removes the conversion too
		}
		return tx.Commit()
	}
	_, paid := api.Click("", "https://shop.example/welcome")
	_, unpaid := api.Click("", "https://shop.example/welcome")
	fmt.Println(place(paid, true), place(unpaid, false))

	_, stored, err := queue.Lookup(ctx, paid)
	fmt.Println("paid:", stored, err)
	_, stored, err = queue.Lookup(ctx, unpaid)
	fmt.Println("unpaid:", stored, err)
	// Output:
	// <nil> <nil>
	// paid: true <nil>
	// unpaid: false <nil>
}

// SparkLoop refuses a conversion. After a person has mended the cause, RedriveAll
// makes the conversion pending again.
func ExampleOutbox_RedriveAll() {
	api := sparklooptest.New()
	defer api.Close()
	dir, remove := temporary()
	defer remove()
	ctx := context.Background()

	ended := make(chan outbox.Entry, 1)
	tell := func(e outbox.Entry) { ended <- e }
	queue, err := sqliteoutbox.Open(ctx, filepath.Join(dir, "sparkloop.db"), api.Client(), outbox.Options{
		OnConfirmed: tell, OnDead: tell, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close(ctx)

	_, tracking := api.Click("", "https://shop.example/welcome")
	api.Fail(sparklooptest.Status(404, `{"error":"Submission not found"}`), 1)
	if err := queue.Enqueue(ctx, tracking); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println((<-ended).State)
	for entry, err := range queue.List(ctx, outbox.Dead) {
		fmt.Println(entry.Attempts, err)
	}

	n, err := queue.RedriveAll(ctx, outbox.Dead)
	fmt.Println(n, err)
	fmt.Println((<-ended).State)
	// Output:
	// dead
	// 1 <nil>
	// 1 <nil>
	// confirmed
}
