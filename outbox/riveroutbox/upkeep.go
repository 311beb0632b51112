package riveroutbox

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// upkeep does the work of River's leader, in each process. River's leader would
// start up to 15 s after the last one was killed. It would rescue jobs only every
// 30 s and count an attempt and an error for each. It would clean up by the real
// clock, not by Options.Now.
func (o *Outbox) upkeep(ctx context.Context) {
	ticker := time.NewTicker(o.beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := errors.Join(o.sort(ctx), o.share(ctx), o.rescue(ctx)); err != nil && ctx.Err() == nil {
			o.log.WarnContext(ctx, "the upkeep of the queue failed", slog.Any("error", err))
		}
	}
}

// waiting begins a condition that uses River's index for fetching: state, queue,
// priority, time.
const waiting = ` queue = '` + queue + `' AND priority IN (1, 2, 3, 4) AND state IN `

// sort moves jobs to their lane when they are due, no longer fresh, or late. River
// fetches only available jobs, by priority, which is the lane, and then by time.
// The time of a fresh job is that of enqueueing. For the rest it is that of the
// click, so that the first to expire comes first.
func (o *Outbox) sort(ctx context.Context) error {
	some := ` FROM {schema}.river_job WHERE queue = '` + queue + `' AND `
	const most = ` LIMIT 1000 FOR UPDATE SKIP LOCKED)`
	const fresh = `NOT (state = 'available' AND priority = 3) AND created_at > {now} - $2::interval`
	_, err := o.db.Exec(ctx, o.statement(`
		UPDATE {schema}.river_job SET state = 'available',
			priority = CASE WHEN `+fresh+` THEN 2 WHEN {clicked} <= {now} - $3::interval THEN 4 ELSE 3 END,
			scheduled_at = CASE WHEN `+fresh+` THEN least(created_at, {now}) ELSE {clicked} END
		WHERE id IN (
			SELECT id FROM (SELECT id`+some+`priority IN (1, 2, 3, 4) AND state IN ('retryable', 'scheduled') AND scheduled_at <= {now}`+most+` AS due
			UNION ALL SELECT id FROM (SELECT id`+some+`priority = 2 AND state = 'available' AND scheduled_at <= {now} - $2::interval`+most+` AS aged
			UNION ALL SELECT id FROM (SELECT id`+some+`priority = 3 AND state = 'available' AND scheduled_at <= {now} - $3::interval`+most+` AS late)`),
		o.now(), delivery.FreshFor, delivery.Lifetime)
	return err
}

// share moves the first conversion of the backlog before the fresh ones if it is
// the backlog's turn.
func (o *Outbox) share(ctx context.Context) error {
	first := func(what string, lane int) string {
		return `(SELECT ` + what + ` FROM {schema}.river_job WHERE queue = '` + queue + `' AND state = 'available' AND priority = ` +
			strconv.Itoa(lane) + ` ORDER BY scheduled_at LIMIT 1)`
	}
	var head *time.Time
	var contended bool
	err := o.db.scan(ctx, []any{&head, &contended}, in(o.schema, `SELECT `+first("scheduled_at", delivery.LaneBacklog)+
		`, EXISTS `+first("", delivery.LaneFresh)+` AND NOT EXISTS `+first("", delivery.LaneShare)))
	if err != nil || head == nil || !contended {
		return err
	}
	if turn, err := o.policy.Share(ctx, head.Add(delivery.Lifetime)); err != nil || !turn {
		return err
	}
	_, err = o.db.Exec(ctx, in(o.schema, `UPDATE {schema}.river_job SET priority = 1 WHERE state = 'available' AND id = `+first("id", delivery.LaneBacklog)))
	return err
}

// rescue gives back the jobs of processes that are gone. It skips the jobs that
// this process works on or has just worked on: if the clock was set, they look
// old.
func (o *Outbox) rescue(ctx context.Context) error {
	mine := []int64{}
	o.inFlight.Range(func(id, ended any) bool {
		if at := ended.(time.Time); !at.IsZero() && time.Since(at) > written {
			o.inFlight.CompareAndDelete(id, ended)
		} else {
			mine = append(mine, id.(int64))
		}
		return true
	})
	_, err := o.db.Exec(ctx, o.statement(`
		UPDATE {schema}.river_job SET state = 'scheduled', scheduled_at = {now}, attempt = greatest(attempt - 1, 0)
		WHERE id IN (
			SELECT id FROM {schema}.river_job
			WHERE queue = '`+queue+`' AND state = 'running' AND id <> ALL ($2::bigint[])
				AND abs(extract(epoch FROM {now} - attempted_at)) > $3::bigint
			FOR UPDATE SKIP LOCKED)`), o.now(), mine, int64(o.rescueAfter()/time.Second))
	return err
}

// probe sends the policy's probes while the queue or an offer is paused.
func (o *Outbox) probe(ctx, calls context.Context) {
	ticker := time.NewTicker(o.beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		plan, err := o.policy.Plan(ctx, o.waiting)
		if err != nil || plan.Probe == nil || plan.Wait > 0 {
			continue // upkeep and the workers log a database that fails
		}
		e := plan.Probe.Entry
		tag, err := o.db.Exec(ctx, o.statement(`
			UPDATE {schema}.river_job SET state = 'running', attempted_at = {now}, attempt = attempt + 1
			WHERE id = $2::bigint AND`+waiting+`('available', 'retryable', 'scheduled')`), o.now(), e.ID)
		if err == nil && tag.RowsAffected() > 0 {
			v := o.deliver(calls, e, plan.Probe)
			if stored, err := o.record(calls, v.Entry); err == nil {
				o.told(calls, v, stored)
			}
		}
	}
}

// waiting implements [delivery.Waiting].
func (o *Outbox) waiting(ctx context.Context, f delivery.Filter) ([]outbox.Entry, error) {
	order, lanes := ` ORDER BY priority, scheduled_at`, `{1,2,3,4}`
	filter := ` AND ($1::text = '' OR args->>'offer' = $1::text) AND args->>'offer' <> ALL ($2::text[])`
	if f.Newest {
		order, lanes = ` ORDER BY scheduled_at DESC`, `{2}`
		filter += ` AND coalesce((metadata->'output'->>'attempts')::integer, 0) = 0`
	}
	return o.entries(ctx, ` id IN (
		SELECT id FROM unnest('{available,retryable,scheduled}'::{schema}.river_job_state[]) AS s (state), unnest('`+lanes+`'::smallint[]) AS l (lane), LATERAL (
			SELECT id FROM {schema}.river_job AS j WHERE j.state = s.state AND queue = '`+queue+`' AND j.priority = l.lane`+
		filter+order+` LIMIT $3::bigint) AS first)`+order+` LIMIT $3::bigint`, f.Offer, append([]string{}, f.Except...), f.Limit)
}

// wakeOffer makes an offer's waiting conversions due.
func (o *Outbox) wakeOffer(ctx context.Context, offer string) error {
	return chores{o}.inBatches(ctx, `
		UPDATE {schema}.river_job SET state = 'scheduled', scheduled_at = {now}
		WHERE id IN (
			SELECT id FROM {schema}.river_job WHERE`+waiting+`('retryable', 'scheduled') AND scheduled_at > {now} AND args->>'offer' = $3::text
			LIMIT $2::bigint FOR UPDATE SKIP LOCKED)`, o.now(), offer)
}

// chores implements [delivery.Engine].
type chores struct{ *Outbox }

// Tidy implements [delivery.Engine]. It does not change jobs that are due by the
// database's clock: inBatches would find the same rows for ever.
func (s chores) Tidy(ctx context.Context, confirmedBefore, horizon time.Time) error {
	if err := s.inBatches(ctx, `
		DELETE FROM {schema}.river_job
		WHERE id IN (
			SELECT id FROM {schema}.river_job WHERE queue = '`+queue+`' AND state = 'completed' AND finalized_at < $1::timestamptz
			LIMIT $2::bigint FOR UPDATE SKIP LOCKED)`, confirmedBefore.UTC()); err != nil {
		return err
	}
	return s.inBatches(ctx, `
		UPDATE {schema}.river_job SET state = 'scheduled', scheduled_at = {now}
		WHERE id IN (
			SELECT id FROM {schema}.river_job WHERE`+waiting+`('available', 'retryable', 'scheduled') AND scheduled_at > greatest($3::timestamptz, {now})
			LIMIT $2::bigint FOR UPDATE SKIP LOCKED)`, s.now(), horizon.UTC())
}

// inBatches repeats a statement until it changes fewer rows than allowed. The
// allowed number is the statement's second argument.
func (s chores) inBatches(ctx context.Context, statement string, first any, rest ...any) error {
	const batch = 1000
	args := append([]any{first, batch}, rest...)
	for {
		tag, err := s.db.Exec(ctx, s.statement(statement), args...)
		if err != nil || tag.RowsAffected() < batch {
			return err
		}
	}
}
