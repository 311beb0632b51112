package riveroutbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

const (
	kind  = "sparkloop_conversion" // of our jobs
	queue = "sparkloop"            // River's queue for our jobs

	// sweptKey in a job's metadata marks a conversion that only the source had.
	sweptKey = "sparkloop_swept"

	// sweepLockMax bounds how long a sweep waits for a caller's transaction that
	// enqueues the same conversion.
	sweepLockMax = time.Second
)

// known is the condition of River's unique index. It is true for all our jobs,
// since unique_states has all states.
const known = ` unique_key IS NOT NULL AND unique_states IS NOT NULL AND {schema}.river_job_state_in_bitmask(unique_states, state) `

// insert does not lock an existing job. River's own insert would lock it until the
// caller's transaction ends, and so delay River's writes in the same batch. Workers
// find the new job by polling: a NOTIFY could fail the caller's commit.
const insert = `
	INSERT INTO {schema}.river_job
		(args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, unique_key, unique_states)
	VALUES ($2::text::jsonb, {now}, '` + kind + `', 32767, $4::text::jsonb, $5::smallint, '` + queue + `', least($6::timestamptz, {now}), 'available', convert_to($3::text, 'UTF8'), B'11111111')
	ON CONFLICT (unique_key) WHERE` + known + `DO NOTHING`

// clicked is when a conversion's 45 days began. A captured_at that is not a time,
// from a manual change, is ignored.
const clicked = `least({now}, created_at, CASE WHEN args->>'captured_at' ~ '^\d{4}-(\d\d-([01]\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$'
	AND args->>'captured_at' !~ '-00' AND args->>'captured_at' !~ '-(1[3-9]|[2-9]\d)-' THEN (args->>'captured_at')::timestamptz END)`

// statement replaces {schema}, {clicked} and {now} in a statement. The first
// argument of the statement is the queue's time.
func (o *Outbox) statement(text string) string {
	text = strings.ReplaceAll(in(o.schema, text), "{clicked}", clicked)
	return strings.ReplaceAll(text, "{now}", "coalesce($1::timestamptz, now())")
}

// now returns a statement's first argument: nil for the database's clock.
func (o *Outbox) now() *time.Time {
	if o.stub == nil {
		return nil
	}
	now := o.stub().UTC()
	return &now
}

// Enqueue implements [outbox.Queue]. It takes at most 10 s; a deadline of ctx
// overrides that, even a later one.
func (o *Outbox) Enqueue(ctx context.Context, t sparkloop.Tracking) error {
	return o.enqueue(ctx, o.db.called(ctx).patient(), t)
}

// EnqueueTx is Enqueue as a part of tx: the conversion is stored only if tx
// commits. tx may come from another pool on the same database, with the same
// rights.
//
// EnqueueTx is one INSERT, and Open has checked that it works. If it still fails,
// PostgreSQL rejects all further statements of the transaction. With a savepoint,
// a failed EnqueueTx does not abort the order, and [outbox.Options.Source] finds
// the conversion later:
//
//	sp, err := tx.Begin(ctx) // a savepoint
//	if err != nil {
//		return err
//	}
//	if err := box.EnqueueTx(ctx, sp, tracking); err != nil {
//		log.Print(err)
//		err = sp.Rollback(ctx)
//	} else {
//		err = sp.Commit(ctx)
//	}
//	if err != nil {
//		return err
//	}
//	return tx.Commit(ctx)
//
// If another open transaction has enqueued the same conversion, EnqueueTx waits
// for its end.
func (o *Outbox) EnqueueTx(ctx context.Context, tx pgx.Tx, t sparkloop.Tracking) error {
	if tx == nil {
		return errors.New("sparkloop outbox: enqueue: the transaction is nil")
	}
	return o.enqueue(ctx, tx, t)
}

// EnqueueSQL is [Outbox.EnqueueTx] for a transaction of database/sql on the same
// database. It works with pgx's stdlib, with lib/pq, and with the libraries in the
// comment of [outbox.Execer]. The statement has no arguments and no placeholders.
func (o *Outbox) EnqueueSQL(ctx context.Context, tx outbox.Execer, t sparkloop.Tracking) error {
	if delivery.NoTx(tx) {
		return errors.New("sparkloop outbox: enqueue: the transaction is nil")
	}
	return o.enqueue(ctx, sqlTx{tx}, t)
}

// sqlTx writes the arguments into the statement: bun formats arguments itself, and
// each library has its own placeholders.
type sqlTx struct{ outbox.Execer }

func (tx sqlTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	var pairs []string
	for i, arg := range args {
		value := "NULL"
		switch arg := arg.(type) {
		case string:
			value = literal(arg)
		case int:
			value = strconv.Itoa(arg)
		case *time.Time:
			if arg != nil {
				value = literal(arg.Format(time.RFC3339Nano))
			}
		default:
			return pgconn.CommandTag{}, fmt.Errorf("unexpected argument of type %T", arg)
		}
		pairs = append(pairs, "$"+strconv.Itoa(i+1), value)
	}
	result, err := tx.ExecContext(ctx, strings.NewReplacer(pairs...).Replace(sql))
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	n, err := result.RowsAffected()
	return pgconn.NewCommandTag("INSERT 0 " + strconv.FormatInt(n, 10)), err
}

// literal quotes a text for SQL. Validated IDs contain no backslash and no
// library's placeholder.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func (o *Outbox) enqueue(ctx context.Context, db execer, t sparkloop.Tracking) error {
	if t.IsZero() {
		return nil
	}
	stored, err := o.store(ctx, db, t, "{}", delivery.LaneFresh)
	if err != nil {
		return fmt.Errorf("sparkloop outbox: enqueue %s: %w", t.Key(), err)
	}
	if stored == 0 {
		go o.policy.Known(context.WithoutCancel(ctx), t, o.Lookup) // the caller may hold the pool's last connection
	}
	return nil
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// store returns 1 if the conversion is new, and 0 if it is known.
func (o *Outbox) store(ctx context.Context, db execer, t sparkloop.Tracking, metadata string, lane int) (int, error) {
	return o.insert(ctx, db, insert, t, metadata, lane)
}

func (o *Outbox) insert(ctx context.Context, db execer, statement string, t sparkloop.Tracking, metadata string, lane int) (int, error) {
	if err := t.Validate(); err != nil {
		return 0, err
	}
	args, err := json.Marshal(t)
	if err != nil {
		return 0, err
	}
	var rank *time.Time // in its lane
	if lane == delivery.LaneBacklog && !t.CapturedAt.IsZero() {
		rank = &t.CapturedAt
	}
	tag, err := db.Exec(ctx, o.statement(statement), o.now(), string(args), t.Key(), metadata, lane, rank)
	if sqlState(err) == lockNotAvailable {
		err = fmt.Errorf("another transaction has enqueued this conversion and has neither committed nor rolled back: %w", err)
	}
	return int(tag.RowsAffected()), err
}

// Missing implements [delivery.Engine].
func (s chores) Missing(ctx context.Context, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error) {
	byKey := make(map[string]sparkloop.Tracking, len(ts))
	keys := make([]string, len(ts))
	for i, t := range ts {
		keys[i] = t.Key()
		byKey[keys[i]] = t
	}
	missing, err := collect(ctx, s.db, pgx.RowTo[string], s.statement(`
		SELECT key FROM unnest($1::text[]) AS key
		WHERE NOT EXISTS (SELECT FROM {schema}.river_job WHERE unique_key = convert_to(key, 'UTF8') AND`+known+`)`), keys)
	if err != nil {
		return nil, err
	}
	found := make([]sparkloop.Tracking, len(missing))
	for i, key := range missing {
		found[i] = byKey[key]
	}
	return found, nil
}

// Sweep implements [delivery.Engine]. It stores each conversion in its own
// transaction: a common one could deadlock with a caller's transaction. A
// conversion in a caller's open transaction does not delay the rest.
func (s chores) Sweep(ctx context.Context, ts []sparkloop.Tracking, lane int) (swept int, err error) {
	var locked error
	for _, t := range ts {
		n, err := s.store(ctx, db{pool: s.db.pool, lock: sweepLockMax}, t, `{"`+sweptKey+`": true}`, lane)
		switch swept += n; {
		case sqlState(err) == lockNotAvailable:
			if locked == nil {
				locked = fmt.Errorf("%s: %w", t.Key(), err)
			}
		case err != nil:
			return swept, fmt.Errorf("%s: %w", t.Key(), err)
		}
	}
	return swept, locked
}
