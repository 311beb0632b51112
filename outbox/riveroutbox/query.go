package riveroutbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Conditions for the outbox's states, on River's jobs. A failed job is expired if
// its output has this state. Otherwise it is dead: a person may have cancelled it.
const (
	pending = ` state IN ('available', 'pending', 'retryable', 'running', 'scheduled') `
	failed  = ` state IN ('cancelled', 'discarded') `
	expired = ` coalesce(metadata->'output'->>'state' = 'expired', false) `
)

// where returns the condition for a state.
func where(s outbox.State) (string, error) {
	switch s {
	case outbox.Pending:
		return pending, nil
	case outbox.Confirmed:
		return ` state = 'completed' `, nil
	case outbox.Dead:
		return failed + `AND NOT` + expired, nil
	case outbox.Expired:
		return failed + `AND` + expired, nil
	}
	return "", fmt.Errorf("%q is not a state", s)
}

// Stats implements [outbox.Queue].
func (o *Outbox) Stats(ctx context.Context) (outbox.Stats, error) {
	s, err := o.stats(ctx)
	if err != nil {
		return outbox.Stats{}, fmt.Errorf("sparkloop outbox: stats: %w", err)
	}
	return s, nil
}

func (o *Outbox) stats(ctx context.Context) (outbox.Stats, error) {
	var s outbox.Stats
	var oldest, died *time.Time
	ours := ` FROM {schema}.river_job WHERE queue = '` + queue + `' AND`
	err := o.db.called(ctx).scan(ctx, []any{&s.Time, &s.Pending, &s.Confirmed, &s.Swept, &oldest, &s.Dead, &s.Expired, &died}, o.statement(`
		SELECT {now},
			waits,
			(SELECT count(*) FROM {schema}.river_job WHERE state = 'completed' AND finalized_at IS NOT NULL), -- River's index
			(SELECT count(*) FROM {schema}.river_job WHERE metadata ? '`+sweptKey+`'), -- our index
			first, dead, expired, died
		FROM (SELECT count(*) AS waits, min(coalesce(to_timestamp((metadata->>'`+redriven+`')::float8), created_at)) AS first`+ours+pending+`) AS open,
			(SELECT count(*) FILTER (WHERE NOT`+expired+`) AS dead, count(*) FILTER (WHERE`+expired+`) AS expired,
			max(finalized_at) AS died`+ours+failed+`) AS ended`), o.now())
	if err != nil {
		return s, err
	}
	s.Time, s.OldestPending, s.LastDied = s.Time.UTC(), utc(oldest), utc(died)

	type hour struct{ Ago, N int }
	hours, err := collect(ctx, o.db.called(ctx), pgx.RowToStructByPos[hour], o.statement(`
		SELECT floor(extract(epoch FROM {now} - finalized_at) / 3600)::bigint AS ago, count(*)`+ours+` state = 'completed'
			AND finalized_at > {now} - interval '24 hours' AND finalized_at <= {now}
		GROUP BY ago`), s.Time)
	if err != nil {
		return s, err
	}
	for _, h := range hours {
		s.ConfirmedByHour[len(s.ConfirmedByHour)-1-h.Ago] = h.N
	}
	return s, o.policy.Paused(ctx, &s)
}

const page = 100

// List implements [outbox.Queue].
func (o *Outbox) List(ctx context.Context, s outbox.State) iter.Seq2[outbox.Entry, error] {
	return func(yield func(outbox.Entry, error) bool) {
		condition, err := where(s)
		for before := int64(math.MaxInt64); err == nil; {
			var es []outbox.Entry
			es, err = o.entries(ctx, condition+`AND id < $1::bigint ORDER BY id DESC LIMIT $2::bigint`, before, page)
			for _, e := range es {
				if !yield(e, nil) {
					return
				}
				before = e.ID
			}
			if err == nil && len(es) < page {
				return
			}
		}
		yield(outbox.Entry{}, fmt.Errorf("sparkloop outbox: list: %w", err))
	}
}

// Lookup implements [outbox.Queue].
func (o *Outbox) Lookup(ctx context.Context, t sparkloop.Tracking) (outbox.Entry, bool, error) {
	if t.Encode() == "" {
		return outbox.Entry{}, false, nil // an invalid tracking is never stored
	}
	es, err := o.entries(ctx, ` unique_key = convert_to($1::text, 'UTF8') AND`+known, t.Key())
	if err != nil {
		return outbox.Entry{}, false, fmt.Errorf("sparkloop outbox: look up %s: %w", t.Key(), err)
	}
	if len(es) == 0 {
		return outbox.Entry{}, false, nil
	}
	return es[0], true, nil
}

func (o *Outbox) entries(ctx context.Context, condition string, args ...any) ([]outbox.Entry, error) {
	return collect(ctx, o.db.called(ctx), scanEntry, o.statement(`
		SELECT id, args::text, state::text, `+expired+`, coalesce(metadata->'output', '{}')::text, created_at, scheduled_at, finalized_at
		FROM {schema}.river_job WHERE queue = '`+queue+`' AND`+condition), args...)
}

func scanEntry(row pgx.CollectableRow) (outbox.Entry, error) {
	var e outbox.Entry
	var args, state, figures string
	var expired bool
	var finalized *time.Time
	if err := row.Scan(&e.ID, &args, &state, &expired, &figures, &e.EnqueuedAt, &e.DueAt, &finalized); err != nil {
		return e, err
	}
	var out output
	err := errors.Join(json.Unmarshal([]byte(args), &e.Tracking), json.Unmarshal([]byte(figures), &out))
	e.Attempts, e.Reason = out.Attempts, out.reason()
	if err != nil { // a row changed by hand must not hide the rest
		e.Reason = "the row cannot be read: " + err.Error()
	}
	e.EnqueuedAt, e.DueAt, e.FinishedAt = e.EnqueuedAt.UTC(), e.DueAt.UTC(), utc(finalized)
	switch {
	case finalized == nil:
		e.State = outbox.Pending
		return e, nil
	case state == "completed":
		e.State = outbox.Confirmed
	case expired:
		e.State = outbox.Expired
	default:
		e.State = outbox.Dead
	}
	e.DueAt = time.Time{}
	return e, nil
}

// utc returns a time in UTC, zero for nil.
func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
