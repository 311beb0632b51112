// Package riveroutbox is the outbox for many machines. It delivers conversions
// through River on the application's PostgreSQL. States, retries and pauses are
// described in package outbox.
//
//	box, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{})
//	// ...
//	defer box.Close(context.Background()) // before pool.Close
//
//	tx, err := pool.Begin(ctx)
//	// ... insert the order ...
//	err = box.EnqueueTx(ctx, tx, tracking) // committed with the order, or not at all
//
// # Schema
//
// River's tables and the outbox's live in their own schema, separate from the
// application's tables and from its own River, if it has one. The default name is
// "sparkloop". [Open] creates and updates the schema.
//
// If the application's role may not create tables, run [Migrate] or the script of
// [MigrationSQL] as another role, and set [outbox.Options.NoMigrate]. Open then only
// checks the tables and rights. Insert no other jobs into the schema, and run no
// River client that may become its leader.
//
// # Connections
//
// You own the pool. A process that delivers uses up to Workers + 3 of its
// connections, and briefly up to three more. If the pool has fewer, the process
// waits. Unless PollOnly is set, it also keeps one connection for LISTEN, which the
// pool's MaxConns does not count.
//
// With PgBouncer in transaction mode set PollOnly. Also set the pool's
// DefaultQueryExecMode to pgx.QueryExecModeExec; with PgBouncer 1.21 or later,
// pgx's default works too.
//
// A process that delivers polls the database once a second. The transaction of an
// order sends no NOTIFY, which could fail its commit.
//
// # Shutdown
//
// In this order: the HTTP handlers, [Outbox.Close], the pool.
//
// # Without pgx
//
// [Outbox.EnqueueSQL] takes a transaction of database/sql, GORM, ent, sqlx or bun on
// the same database. The queue itself needs a pgx pool.
package riveroutbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// Options are the options of every outbox, and two for PostgreSQL.
type Options struct {
	outbox.Options

	// Schema is the name of the outbox's schema: 1 to 46 lower-case letters, digits
	// and underscores, not starting with a digit. Default: "sparkloop".
	Schema string

	// PollOnly turns LISTEN off, which PgBouncer in transaction mode does not
	// support. Delivery stays the same. Commands from River's UI take up to 2 s.
	// Default: false.
	PollOnly bool
}

// Outbox is a queue of conversions in PostgreSQL. It is safe for concurrent use.
type Outbox struct {
	db     db
	policy *delivery.Policy
	o      outbox.Options
	stub   func() time.Time // Options.Now; nil for the database's clock
	schema string
	beat   time.Duration         // interval of polling
	log    *slog.Logger          // for River
	river  *river.Client[pgx.Tx] // nil if this process only enqueues

	inFlight sync.Map           // by ID, the jobs of this process: zero while in progress, then the end
	abort    context.CancelFunc // cancels the deliveries in progress
	relax    context.CancelFunc // stops the background work
	running  sync.WaitGroup
	closing  chan struct{}
	closed   chan struct{}
	once     sync.Once
}

var _ outbox.Queue = (*Outbox)(nil)

// Open opens the queue and starts delivery, which continues until [Outbox.Close].
// ctx bounds only the opening. Several processes may call Open at the same time.
// Open creates or updates the schema first, unless NoMigrate is set. It then checks
// the tables, the rights and the session's settings, and returns an error if a
// later EnqueueTx would fail. It sends nothing to SparkLoop.
func Open(ctx context.Context, pool *pgxpool.Pool, c *sparkloop.Client, o Options) (*Outbox, error) {
	box, err := open(ctx, pool, c, o)
	if err != nil {
		return nil, fmt.Errorf("sparkloop outbox: open: %w", err)
	}
	return box, nil
}

func open(ctx context.Context, pool *pgxpool.Pool, c *sparkloop.Client, o Options) (*Outbox, error) {
	if pool == nil {
		return nil, errors.New("the pool is nil")
	}
	schema, err := validSchema(o.Schema)
	if err != nil {
		return nil, fmt.Errorf("riveroutbox.Options.Schema: %w", err)
	}
	stub := o.Now
	if o.Options, err = delivery.Complete(o.Options); err != nil {
		return nil, err
	}
	box := &Outbox{
		db:      db{pool: pool},
		o:       o.Options,
		stub:    stub,
		schema:  schema,
		beat:    min(time.Second, max(o.RetryMin/5, 100*time.Millisecond)),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		abort:   func() {},
		relax:   func() {},
	}
	box.log = slog.New(newRiverLog(o.Logger.Handler(), box.closing))
	if box.policy, err = delivery.New(c, box.o, newRow(box.db, schema)); err != nil {
		return nil, err
	}
	if err := box.checkSession(ctx); err != nil {
		return nil, err
	}
	if !o.NoMigrate {
		if err := migrate(ctx, box.db, schema); err != nil {
			return nil, err
		}
	}
	if err := box.check(ctx); err != nil {
		return nil, err
	}
	if o.Workers < 0 {
		return box, nil
	}
	if delivers, err := box.policy.Join(ctx); err != nil || !delivers {
		return box, err
	}
	if err := box.start(ctx, o.PollOnly); err != nil {
		return nil, err
	}
	return box, nil
}

// start starts River and the background work. ctx bounds only the start.
func (o *Outbox) start(ctx context.Context, pollOnly bool) (err error) {
	run, abort := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, abort)
	for {
		if o.river, err = o.newRiver(pollOnly); err != nil {
			break
		}
		// Several processes may write River's row of the queue at the same time.
		if err = o.river.Start(run); !conflicts(err) || run.Err() != nil {
			break
		}
	}
	if !detach() {
		err = fmt.Errorf("starting River: %w", ctx.Err()) // River's own error is only that it was canceled
	}
	if err != nil {
		abort()
		return err
	}
	o.abort = abort
	background, relax := context.WithCancel(run)
	o.relax = relax
	o.running.Go(func() { o.upkeep(background) })
	o.running.Go(func() { o.probe(background, run) })
	o.running.Go(func() { o.policy.Background(background, chores{o}) })
	return nil
}

// Client returns a client for direct calls. It shares the queue's rate limit and
// does not retry: for retries use [sparkloop.Client.With].
func (o *Outbox) Client() *sparkloop.Client { return o.policy.Client() }

// Delivered returns the counts of this process since Open, without reading the
// database. Add up the counts of all processes.
func (o *Outbox) Delivered() outbox.Delivered { return o.policy.Delivered() }

// breakOff bounds how long Close, after its context has ended, waits for the
// conversions in progress to be given back.
const breakOff = 5 * time.Second

// Close stops delivery. It waits for the calls in progress until ctx ends. Then it
// cancels them, gives their conversions back, and returns an error that wraps the
// context's. Giving back takes up to 5 s if the database does not answer. Call
// Close before the pool's Close. Enqueue and the other methods still work
// afterwards.
func (o *Outbox) Close(ctx context.Context) error {
	o.once.Do(func() {
		close(o.closing)
		o.relax()
		go func() {
			if o.river != nil {
				o.river.Stop(context.Background()) //nolint:errcheck // it fails only if its context ends
			}
			o.running.Wait()
			o.abort()
			close(o.closed)
		}()
	})
	select {
	case <-o.closed:
		return nil
	case <-ctx.Done():
	}
	flying := o.policy.Flying() > 0
	o.abort()
	select {
	case <-o.closed:
		if !flying {
			return nil
		}
	case <-time.After(breakOff):
	}
	return fmt.Errorf("sparkloop outbox: close: deliveries were canceled, their conversions stay pending: %w", ctx.Err())
}
