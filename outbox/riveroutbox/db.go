package riveroutbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statementMax bounds each statement, unless a caller's context has a deadline.
// Without it, a statement on a silently dead connection would wait forever.
const statementMax = 10 * time.Second

// SQLSTATE codes of PostgreSQL.
const (
	insufficientPrivilege = "42501"
	readOnlyTransaction   = "25006"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	lockNotAvailable      = "55P03"
)

// db runs the outbox's own statements on the caller's pool. Each statement is a
// transaction at READ COMMITTED, for any default level, and takes one round trip.
// Serialization failures and deadlocks are retried.
type db struct {
	pool *pgxpool.Pool
	most time.Duration // longest statement; 0: statementMax
	lock time.Duration // longest wait for a lock; 0: as in the session
}

func (d db) bound() time.Duration { return cmp.Or(d.most, statementMax) }

// called returns a db for a caller's statement: a deadline of ctx overrides
// statementMax.
func (d db) called(ctx context.Context) db {
	if deadline, ok := ctx.Deadline(); ok {
		d.most = max(time.Until(deadline), time.Millisecond)
	}
	return d
}

// patient returns a db whose statements time out on a lock before the whole
// statement times out. So the error names the lock.
func (d db) patient() db {
	d.lock = d.bound() * 4 / 5
	return d
}

// Exec runs a statement.
func (d db) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = d.run(ctx, func(r pgx.BatchResults) (err error) {
		tag, err = r.Exec()
		return err
	}, sql, args)
	return tag, err
}

// scan runs a statement that returns one row.
func (d db) scan(ctx context.Context, dest []any, sql string, args ...any) error {
	return d.run(ctx, func(r pgx.BatchResults) error { return r.QueryRow().Scan(dest...) }, sql, args)
}

// collect runs a statement and returns its rows.
func collect[T any](ctx context.Context, d db, row pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = d.run(ctx, func(r pgx.BatchResults) error {
		rows, err := r.Query()
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, row)
		return err
	}, sql, args)
	return all, err
}

// run runs a statement until it succeeds, returns a permanent error, or ctx ends.
func (d db) run(ctx context.Context, read func(pgx.BatchResults) error, sql string, args []any) error {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, d.bound())
	defer cancel()
	opened := d.pool.Stat().NewConnsCount()
	for stale, n := false, 1; ; n++ {
		err := d.once(ctx, read, sql, args)
		switch code := sqlState(err); {
		case err == nil:
			if stale { // after a failover other idle connections may lead to the old primary too
				d.pool.Reset()
			}
			return nil
		case ctx.Err() != nil && parent.Err() == nil:
			return fmt.Errorf("the database did not answer within %s: %w", d.bound().Round(time.Millisecond), err)
		case code == readOnlyTransaction && opened == d.pool.Stat().NewConnsCount():
			stale = true // the connection is closed; a new one may lead to the primary
			continue
		case !conflicts(err):
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(min(n, 20)) * 5 * time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once sends the whole transaction in one batch.
func (d db) once(ctx context.Context, read func(pgx.BatchResults) error, sql string, args []any) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	if d.lock > 0 {
		batch.Queue("SELECT set_config('lock_timeout', $1::text, true)", strconv.FormatInt(d.lock.Milliseconds(), 10))
	}
	batch.Queue(sql, args...)
	batch.Queue("COMMIT")
	r := conn.SendBatch(ctx, batch)
	err = func() error {
		for range batch.Len() - 2 {
			if _, err := r.Exec(); err != nil {
				return err
			}
		}
		if err := read(r); err != nil {
			return err
		}
		_, err := r.Exec()
		return err
	}()
	if closing := r.Close(); err == nil {
		err = closing
	}
	if err != nil {
		leave(ctx, conn.Conn(), err)
	}
	return err
}

// leave makes a connection usable again after an error, or closes it. A read-only
// connection leads to a server that is no longer the primary.
func leave(ctx context.Context, conn *pgx.Conn, err error) {
	if conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if sqlState(err) == readOnlyTransaction {
		conn.Close(ctx) //nolint:errcheck // the pool opens another connection
	} else if conn.PgConn().TxStatus() != 'I' {
		conn.Exec(ctx, "ROLLBACK") //nolint:errcheck // the pool closes a connection that is still in a transaction
	}
}

// sqlState returns PostgreSQL's code for an error, or "".
func sqlState(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code
	}
	return ""
}

// conflicts reports whether the transaction should be repeated.
func conflicts(err error) bool {
	code := sqlState(err)
	return code == serializationFailure || code == deadlockDetected
}

// permanent reports whether a repeated statement would fail too: for its values
// (class 22), a constraint (23), or a missing right, table or column (42).
func permanent(err error) bool {
	code := sqlState(err)
	return slices.ContainsFunc([]string{"22", "23", "42"}, func(class string) bool { return strings.HasPrefix(code, class) })
}
