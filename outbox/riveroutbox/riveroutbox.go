// Package riveroutbox is the outbox for many machines: it delivers conversions
// through River on the application's PostgreSQL. What it does with a conversion
// is said in package outbox.
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
// River's tables and our own stand in a schema of their own, "sparkloop" unless
// told otherwise, beside those of the application and of its own River, if it
// has one. [Open] makes it and brings it up to date. Where the application's role may
// not create tables, [Migrate] or [MigrationSQL] do that under another role, and
// [outbox.Options.NoMigrate] has Open only check that all is there and may be used.
// Nothing else may put jobs into that schema, and no other River client may
// become its leader.
//
// # Connections
//
// The pool is the caller's. A process that delivers uses up to Workers + 3 of its
// connections at a time, for moments up to three more, and waits where there are
// fewer. Unless PollOnly is set, it takes one more out of the pool for good, to
// listen, which the pool's MaxConns does not count. With PgBouncer in transaction
// mode set PollOnly, and a query mode that it can pass on: pgx.QueryExecModeExec as
// the pool's DefaultQueryExecMode, or pgx's own default from PgBouncer 1.21 on.
//
// Whoever delivers asks the database once a second what is due. There is no
// NOTIFY in the transaction of an order, which could fail its commit.
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

// Options are those of every outbox, and two that only PostgreSQL needs.
type Options struct {
	outbox.Options

	// Schema is the outbox's own. Default "sparkloop"; 1 to 46 lower-case
	// letters, digits and underscores, no digit first.
	Schema string

	// PollOnly does without LISTEN, which PgBouncer in transaction mode cannot
	// pass on. It changes nothing about delivery; commands from River's own UI
	// take up to 2 s.
	PollOnly bool
}

// Outbox is a queue of conversions in PostgreSQL. It is safe for concurrent use.
type Outbox struct {
	db     db
	policy *delivery.Policy
	o      outbox.Options
	stub   func() time.Time // Options.Now as it was given: nil is the database's clock
	schema string
	beat   time.Duration         // how often the database is asked for what is due
	log    *slog.Logger          // for River
	river  *river.Client[pgx.Tx] // nil in a process that enqueues only

	inFlight sync.Map           // by id, the jobs that this process works on, or when it ended that
	abort    context.CancelFunc // breaks off the deliveries under way
	relax    context.CancelFunc // stops what runs in the background
	running  sync.WaitGroup
	closing  chan struct{}
	closed   chan struct{}
	once     sync.Once
}

var _ outbox.Queue = (*Outbox)(nil)

// Open opens the queue and starts delivery, which goes on until [Outbox.Close]:
// ctx bounds the opening alone. Several processes may open it at once. It makes or
// updates the schema first, unless NoMigrate is set, and then checks that all is
// there and may be used, so that a later EnqueueTx does not fail an order for
// that. It never calls SparkLoop.
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

// start starts River and what runs beside it. ctx bounds the start alone.
func (o *Outbox) start(ctx context.Context, pollOnly bool) (err error) {
	run, abort := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, abort)
	for {
		if o.river, err = o.newRiver(pollOnly); err != nil {
			break
		}
		// Several processes write River's row of the queue when they start.
		if err = o.river.Start(run); !conflicts(err) || run.Err() != nil {
			break
		}
	}
	if !detach() {
		err = fmt.Errorf("starting River: %w", ctx.Err()) // all that River knows is that it was cancelled
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

// Client is a client that shares the queue's rate limit, for calls beside it. It
// tries each call once.
func (o *Outbox) Client() *sparkloop.Client { return o.policy.Client() }

// Delivered counts what this process has delivered since Open. It reads no
// database. Add up the counts of all processes.
func (o *Outbox) Delivered() outbox.Delivered { return o.policy.Delivered() }

// breakOff is how long Close waits at most, after its context has ended, for the
// conversions under way to be given back.
const breakOff = 5 * time.Second

// Close stops delivery. It waits for the calls under way until ctx ends, then
// breaks them off, gives their conversions back, which takes up to 5 s if the
// database does not answer, and returns the context's error. Call it before the
// pool's Close. Enqueue and the other methods still work afterwards.
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
	return fmt.Errorf("sparkloop outbox: close: the calls under way were broken off: %w", ctx.Err())
}
