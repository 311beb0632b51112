// Package sqliteoutbox is the outbox for one machine. It stores conversions in a
// SQLite file until SparkLoop has confirmed them. It needs no server and no C
// compiler. States, retries and pauses are described in package outbox.
//
//	queue, err := sqliteoutbox.Open(ctx, "/var/lib/shop/sparkloop.db", client, outbox.Options{})
//	...
//	err = queue.Enqueue(r.Context(), tracking) // in the handler: on disk when it returns nil
//	...
//	err = queue.Close(ctx) // when the program ends, after the HTTP server
//
// If your orders are in SQLite, pass their database to [OpenDB] and call
// [Outbox.EnqueueTx] in the order's transaction. The order and its conversion are
// then stored together or not at all. For orders in another database see
// outbox.Options.Source.
//
// Several processes on one machine may open the same file. They share the work
// and the rate limit. A file on a network share is not safe: for several machines
// use riveroutbox.
//
// If a process is killed during a delivery, the conversion is sent again 35
// seconds later.
//
// The package registers modernc.org/sqlite as the driver "sqlite". A program
// with another driver of that name, such as github.com/glebarez/go-sqlite, panics
// when it starts.
package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// Outbox is a queue in a SQLite database. It is safe for concurrent use.
type Outbox struct {
	db     *database
	o      outbox.Options
	policy *delivery.Policy

	turn    int // counts the claims of this process
	mu      sync.Mutex
	leftOut []string // IDs of conversions that this process skips
	lost    int      // how many of them: their answers cannot be stored

	wake    chan struct{}      // a conversion may be due
	stop    context.CancelFunc // ends taking new work
	abort   context.CancelFunc // cancels the calls in progress
	stopped chan struct{}      // closed when all work has ended
}

var _ outbox.Queue = (*Outbox)(nil)

// Open opens the queue in its own file and starts to deliver. It creates the file
// if there is none. The folder must exist, on a disk that a redeploy does not
// erase. Open logs a warning for a file on a container's own layer, in memory or
// on a network share.
//
// Open sets write-ahead logging and full synchronisation, so enqueued conversions
// survive a power cut. Do not move, replace or delete the file while it is open:
// Enqueue then returns an error. See docs/outbox.md for backups.
//
// ctx bounds only the opening; delivery continues until [Outbox.Close]. Open sends
// nothing to SparkLoop. It returns an error for:
//
//   - an invalid option;
//   - a path that cannot be written;
//   - a file that is not a SQLite database;
//   - tables that need a newer version of this package.
func Open(ctx context.Context, path string, c *sparkloop.Client, o outbox.Options) (*Outbox, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return nil, fmt.Errorf("sparkloop outbox: open: %q is not the path of a file: use a path on a persistent disk, not a connection string", path)
	}
	absolute, err := filepath.Abs(path) // the working folder may change
	if err != nil {
		return nil, fmt.Errorf("sparkloop outbox: open: %w", err)
	}
	db, err := openOwn(ctx, absolute)
	if err != nil {
		return nil, fmt.Errorf("sparkloop outbox: open %s: %w", path, plain(absolute, err))
	}
	q, err := open(ctx, db, c, o)
	if err != nil {
		return nil, fmt.Errorf("sparkloop outbox: open %s: %w", path, errors.Join(plain(absolute, err), db.close()))
	}
	q.warnOfPlace(absolute)
	return q, nil
}

// OpenDB opens the queue in the application's SQLite database, with any driver,
// and starts to deliver. It creates its tables there. Their names begin with
// "sparkloop_". Close the database yourself, after the queue.
//
// The queue writes while the application does. So the connections need a busy
// timeout, and transactions that read before they write must be immediate. With
// modernc.org/sqlite:
//
//	sql.Open("sqlite", "file:shop.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
//
// In a pool of one connection, a goroutine that holds a transaction must call
// [Outbox.EnqueueTx]. Enqueue would wait 10 s for the connection and return an
// error. Otherwise OpenDB works like [Open].
func OpenDB(ctx context.Context, db *sql.DB, c *sparkloop.Client, o outbox.Options) (*Outbox, error) {
	if db == nil {
		return nil, errors.New("sparkloop outbox: open: the database is nil")
	}
	q, err := open(ctx, newShared(ctx, db), c, o)
	if err != nil {
		return nil, fmt.Errorf("sparkloop outbox: open: %w", err)
	}
	q.warnOfSettings(ctx)
	return q, nil
}

func open(ctx context.Context, db *database, c *sparkloop.Client, o outbox.Options) (*Outbox, error) {
	o, err := delivery.Complete(o)
	if err != nil {
		return nil, err
	}
	db.logger = o.Logger
	if o.Now == nil {
		o.Now = time.Now // SQLite has no clock of its own
	}
	q := &Outbox{db: db, o: o, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	if q.policy, err = delivery.New(c, o, row{db}); err != nil {
		return nil, err
	}
	if err := prepare(ctx, db.db, o.NoMigrate); err != nil {
		return nil, err
	}
	if db.own { // SQLite opens a read-only file without an error
		if _, err := db.exec(ctx, "UPDATE sparkloop_outbox SET revision = revision WHERE 0"); err != nil {
			return nil, err
		}
		db.file.identify()
	}
	delivers := o.Workers > 0
	if delivers {
		if delivers, err = q.policy.Join(ctx); err != nil {
			return nil, err
		}
	}
	q.start(delivers)
	return q, nil
}

// Client returns a client for direct calls. It shares the queue's rate limit and
// does not retry: for retries use [sparkloop.Client.With].
func (q *Outbox) Client() *sparkloop.Client { return q.policy.Client() }

// Delivered returns the counts of this process since Open, without reading the
// database. Add up the counts of all processes.
func (q *Outbox) Delivered() outbox.Delivered { return q.policy.Delivered() }

// Close implements [outbox.Queue]. If it cancels calls, it returns an error that
// wraps the context's. Afterwards each call of another method opens and closes the
// file of [Open].
func (q *Outbox) Close(ctx context.Context) error {
	q.stop()
	select {
	case <-q.stopped:
		return q.closeFile()
	case <-ctx.Done():
	}
	var err error
	if q.policy.Flying() > 0 {
		err = fmt.Errorf("sparkloop outbox: close: deliveries were canceled, their conversions stay pending: %w", ctx.Err())
	}
	q.abort()
	select {
	case <-q.stopped: // canceled deliveries are due again at once
	case <-time.After(time.Second):
	}
	return errors.Join(err, q.closeFile())
}

func (q *Outbox) closeFile() error {
	if err := q.db.close(); err != nil {
		return fmt.Errorf("sparkloop outbox: close the file: %w", err)
	}
	return nil
}

// warnOfSettings logs settings of the application's database that cause failures.
func (q *Outbox) warnOfSettings(ctx context.Context) {
	var seq, busy int
	var name, file string
	if err := q.db.db.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&busy); err == nil && busy == 0 {
		q.o.Logger.WarnContext(ctx, "sparkloop outbox: the database's connections have no busy_timeout: "+
			"the application's writes fail with SQLITE_BUSY while the queue writes; set _pragma=busy_timeout(5000)")
	}
	if err := q.db.db.QueryRowContext(ctx, "PRAGMA database_list").Scan(&seq, &name, &file); err != nil {
		return
	}
	if file == "" {
		q.o.Logger.WarnContext(ctx, "sparkloop outbox: the database is in memory: conversions are lost with the process; use a file")
		return
	}
	q.warnOfPlace(file)
}

func (q *Outbox) warnOfPlace(path string) {
	if what := volatile(path); what != "" {
		q.o.Logger.Warn("sparkloop outbox: the file is on "+what+": put it on a volume", slog.String("path", path))
	}
}
