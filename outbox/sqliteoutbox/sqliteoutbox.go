// Package sqliteoutbox is the outbox for one machine: it keeps conversions in
// a SQLite file until SparkLoop has confirmed them. It needs no server and no C
// compiler.
//
//	queue, err := sqliteoutbox.Open(ctx, "/var/lib/shop/sparkloop.db", client, outbox.Options{})
//	...
//	err = queue.Enqueue(r.Context(), tracking) // in the handler: on disk when it returns nil
//	...
//	err = queue.Close(ctx) // when the program ends, after the HTTP server
//
// An application whose orders are in SQLite gives its database to [OpenDB] and
// calls [Outbox.EnqueueTx] in the order's own transaction: then there is never
// one without the other. For orders in any other database see
// outbox.Options.Source.
//
// Several processes on one machine may open the same file. They share the work
// and the rate limit. A file on a network share is not safe; use riveroutbox
// for several machines.
//
// What a process was delivering when it was killed is taken up again 35 seconds
// later.
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
	leftOut []string // the ids of conversions that this process does not deliver
	lost    int      // how many of them are left out because an answer cannot be stored

	wake    chan struct{}      // something may be due
	stop    context.CancelFunc // ends taking new work
	abort   context.CancelFunc // ends the calls under way
	stopped chan struct{}      // closed when all work has ended
}

var _ outbox.Queue = (*Outbox)(nil)

// Open opens the queue in a file of its own and starts to deliver. The file is
// made if there is none; its folder must exist, on a disk that a redeploy does
// not erase: of a file on a container's own layer or in memory the log warns.
// Write-ahead logging and full synchronisation are set, so what is enqueued
// survives a power cut too. While the file is open, do not move, replace or delete
// it: Enqueue then returns an error. See docs/outbox.md for backups.
//
// ctx bounds the opening alone; delivery goes on until [Outbox.Close]. Open sends
// nothing to SparkLoop. It fails for a wrong option, for a path that cannot be
// written, a file that is not SQLite's, and one that a newer version has made
// unreadable to this one.
func Open(ctx context.Context, path string, c *sparkloop.Client, o outbox.Options) (*Outbox, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return nil, fmt.Errorf("sparkloop outbox: open: %q is not the path of a file: give one on a disk that lasts, and nothing of a connection string", path)
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

// OpenDB opens the queue in the application's SQLite database, whichever driver
// it has, and starts to deliver. It makes its tables there, whose names begin
// with "sparkloop_". The database stays the application's: close it after the
// queue.
//
// The queue writes while the application does, so the connections need a busy
// timeout, and transactions that read before they write have to begin as
// immediate ones. With modernc.org/sqlite:
//
//	sql.Open("sqlite", "file:shop.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
//
// In a pool of one connection a goroutine that holds a transaction must use
// [Outbox.EnqueueTx]; Enqueue would wait for the connection, for ten seconds.
// For the rest see [Open].
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
	if db.own { // SQLite opens a file that it can only read, and says nothing
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

// Client returns a client for direct calls that go through the queue's rate
// limit. It does not retry: use [sparkloop.Client.With] for that.
func (q *Outbox) Client() *sparkloop.Client { return q.policy.Client() }

// Delivered counts what this process has delivered since Open. It reads no
// database. Add up the counts of all processes.
func (q *Outbox) Delivered() outbox.Delivered { return q.policy.Delivered() }

// Close implements [outbox.Queue]. A call of another method closes the file for
// itself when it ends.
func (q *Outbox) Close(ctx context.Context) error {
	q.stop()
	select {
	case <-q.stopped:
		return q.closeFile()
	case <-ctx.Done():
	}
	var err error
	if q.policy.Flying() > 0 {
		err = fmt.Errorf("sparkloop outbox: close: deliveries were broken off: %w", ctx.Err())
	}
	q.abort()
	select {
	case <-q.stopped: // what was under way is due again at once
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

// warnOfSettings tells the log what in the application's database will hurt.
func (q *Outbox) warnOfSettings(ctx context.Context) {
	var seq, busy int
	var name, file string
	if err := q.db.db.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&busy); err == nil && busy == 0 {
		q.o.Logger.WarnContext(ctx, "sparkloop outbox: the database's connections have no busy_timeout: "+
			"the application's writes will fail with SQLITE_BUSY while the queue writes")
	}
	if err := q.db.db.QueryRowContext(ctx, "PRAGMA database_list").Scan(&seq, &name, &file); err != nil {
		return
	}
	if file == "" {
		q.o.Logger.WarnContext(ctx, "sparkloop outbox: the database is in memory: conversions end with the process")
		return
	}
	q.warnOfPlace(file)
}

func (q *Outbox) warnOfPlace(path string) {
	if what := volatile(path); what != "" {
		q.o.Logger.Warn("sparkloop outbox: the file is on "+what+": put it on a volume", slog.String("path", path))
	}
}
