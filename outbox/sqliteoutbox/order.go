package sqliteoutbox

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// laneIs begins a condition on one lane: SQLite then reads the first conversion
// from the index on (lane, due).
const laneIs = "state = 0 AND lane = "

// free returns the condition for a conversion without a claim. A claim with an
// impossibly late end does not count: a clock was ahead.
func (q *Outbox) free(now time.Time) string {
	return fmt.Sprintf("claimed NOT BETWEEN %d AND %d", now.UnixMilli()+1, now.Add(2*q.policy.Lease()).UnixMilli())
}

// pick returns the conversion whose turn it is, or the time until the next one is
// due: pollIdle if none waits.
func (q *Outbox) pick(ctx context.Context, now time.Time) (first *outbox.Entry, wait time.Duration, err error) {
	for {
		var heads [delivery.LaneWaiting + 1]*outbox.Entry
		for _, lane := range []int{delivery.LaneFresh, delivery.LaneBacklog, delivery.LaneLate, delivery.LaneWaiting} {
			es, err := q.pending(ctx, laneIs+strconv.Itoa(lane)+" AND "+q.free(now)+" ORDER BY due LIMIT 1")
			if err != nil {
				return nil, 0, err
			}
			if len(es) > 0 {
				heads[lane] = &es[0]
			}
		}
		sorted := false
		before := func(lane int, at time.Time) {
			if e := heads[lane]; e != nil && !e.DueAt.After(at) {
				sorted = true
			}
		}
		before(delivery.LaneWaiting, now)
		before(delivery.LaneFresh, now.Add(-delivery.FreshFor))
		before(delivery.LaneBacklog, now.Add(-delivery.Lifetime))
		if sorted {
			if err := q.sort(ctx, now); err != nil {
				return nil, 0, err
			}
			continue
		}
		lanes := delivery.Heads{Fresh: heads[delivery.LaneFresh], Backlog: heads[delivery.LaneBacklog], Late: heads[delivery.LaneLate]}
		if first := lanes.Pick(q.turn, now); first != nil {
			return first, 0, nil
		}
		if next := heads[delivery.LaneWaiting]; next != nil {
			return nil, min(next.DueAt.Sub(now), pollIdle-1), nil
		}
		return nil, pollIdle, nil
	}
}

// sort moves conversions to their lane when they are due, no longer fresh, or
// late: at most 500 per lane in a call.
func (q *Outbox) sort(ctx context.Context, now time.Time) error {
	const (
		clicked = "iif(captured > 0, captured * 1000, enqueued)"
		some    = " ORDER BY due LIMIT 500)"
		ids     = "SELECT id FROM (SELECT id FROM sparkloop_conversions WHERE " + laneIs
	)
	_, err := q.db.exec(ctx, `UPDATE sparkloop_conversions SET
			lane = CASE WHEN lane <> 3 AND enqueued > ?2 THEN 2 WHEN `+clicked+` <= ?3 THEN 4 ELSE 3 END,
			due = iif(lane <> 3 AND enqueued > ?2, enqueued, `+clicked+`)
		WHERE id IN (`+ids+"5 AND due <= ?1"+some+" UNION ALL "+ids+"2 AND due <= ?2"+some+" UNION ALL "+ids+"3 AND due <= ?3"+some+")",
		now.UnixMilli(), now.Add(-delivery.FreshFor).UnixMilli(), now.Add(-delivery.Lifetime).UnixMilli())
	return err
}

// waiting implements [delivery.Waiting].
func (q *Outbox) waiting(ctx context.Context, f delivery.Filter) ([]outbox.Entry, error) {
	condition, args := "state = 0 AND "+q.free(q.o.Now()), []any{}
	if f.Offer != "" {
		condition += " AND offer = ?"
		args = append(args, f.Offer)
	}
	if len(f.Except) > 0 {
		condition += " AND offer NOT IN (?" + strings.Repeat(", ?", len(f.Except)-1) + ")"
		for _, offer := range f.Except {
			args = append(args, offer)
		}
	}
	order := " ORDER BY lane, due"
	if f.Newest {
		order = " AND lane = 2 AND attempts = 0 ORDER BY due DESC"
	}
	return q.pending(ctx, condition+order+" LIMIT "+strconv.Itoa(f.Limit), args...)
}

// wakeOffer makes an offer's waiting conversions due.
func (q *Outbox) wakeOffer(ctx context.Context, offer string) {
	now := q.o.Now().UnixMilli()
	if _, err := q.db.exec(ctx, "UPDATE sparkloop_conversions SET due = ?1 WHERE "+laneIs+"5 AND due > ?1 AND offer = ?2", now, offer); err != nil {
		q.o.Logger.Warn("sparkloop outbox: an offer's waiting conversions could not be made due now; they are sent later", slog.String("offer", offer), slog.Any("error", err))
	}
}
