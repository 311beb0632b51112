package sqliteoutbox

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

const (
	statsQuery = `SELECT pending, coalesce(min(first, redriven), first, redriven),
	ifnull((SELECT n FROM sparkloop_counts WHERE what = 1), 0),
	ifnull((SELECT n FROM sparkloop_counts WHERE what = 2), 0),
	ifnull((SELECT n FROM sparkloop_counts WHERE what = 3), 0),
	ifnull((SELECT n FROM sparkloop_counts WHERE what = 4), 0) + (SELECT count(*) FROM sparkloop_conversions WHERE state = 0 AND swept > 0),
	(SELECT max(died) FROM (SELECT max(finished) AS died FROM sparkloop_conversions WHERE state > 0 AND state = 2
		UNION ALL SELECT max(finished) FROM sparkloop_conversions WHERE state > 0 AND state = 3))
FROM (SELECT pending, redriven, (SELECT enqueued FROM sparkloop_conversions WHERE id = oldest) AS first
	FROM (SELECT count(*) AS pending, min(iif(finished = 0, id, NULL)) AS oldest, min(nullif(finished, 0)) AS redriven
		FROM sparkloop_conversions INDEXED BY sparkloop_conversions_due WHERE state = 0))`
	byHourQuery = `SELECT (?1 - finished) / 3600000 AS ago, count(*) FROM sparkloop_conversions
	WHERE state > 0 AND state = 1 AND finished > ?1 - 86400000 AND finished <= ?1 GROUP BY ago`
	expiredRows = `DELETE FROM sparkloop_conversions WHERE id IN
	(SELECT id FROM sparkloop_conversions WHERE state > 0 AND state = 1 AND finished < ? LIMIT 500)`
)

// Stats implements [outbox.Queue].
func (q *Outbox) Stats(ctx context.Context) (outbox.Stats, error) {
	s, err := q.stats(ctx)
	if err != nil {
		return outbox.Stats{}, fmt.Errorf("sparkloop outbox: stats: %w", err)
	}
	return s, nil
}

func (q *Outbox) stats(ctx context.Context) (outbox.Stats, error) {
	now := q.o.Now().UTC()
	s := outbox.Stats{Time: now}
	if err := q.policy.Paused(ctx, &s); err != nil {
		return s, err
	}
	var oldest, died sql.NullInt64
	_, err := q.db.query(ctx, func(scan func(...any) error) error {
		return scan(&s.Pending, &oldest, &s.Confirmed, &s.Dead, &s.Expired, &s.Swept, &died)
	}, statsQuery)
	if err != nil {
		return s, err
	}
	s.OldestPending, s.LastDied = at(oldest.Int64), at(died.Int64)
	return s, q.byHour(ctx, now, &s.ConfirmedByHour)
}

// byHour counts the confirmations by hour. The last hour ends at now.
func (q *Outbox) byHour(ctx context.Context, now time.Time, hours *[24]int) error {
	_, err := q.db.query(ctx, func(scan func(...any) error) error {
		var ago, n int
		err := scan(&ago, &n)
		if err == nil {
			hours[len(hours)-1-ago] = n
		}
		return err
	}, byHourQuery, now.UnixMilli())
	return err
}

// List implements [outbox.Queue].
func (q *Outbox) List(ctx context.Context, s outbox.State) iter.Seq2[outbox.Entry, error] {
	return func(yield func(outbox.Entry, error) bool) {
		state, err := number(s)
		before := int64(math.MaxInt64)
		for err == nil {
			var page []outbox.Entry
			page, err = q.find(ctx, inState(state)+" AND id < ? ORDER BY id DESC LIMIT 100", before)
			if err != nil || len(page) == 0 {
				break
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			before = page[len(page)-1].ID
		}
		if err != nil {
			yield(outbox.Entry{}, fmt.Errorf("sparkloop outbox: list: %w", err))
		}
	}
}

// Lookup implements [outbox.Queue].
func (q *Outbox) Lookup(ctx context.Context, t sparkloop.Tracking) (outbox.Entry, bool, error) {
	e, found, err := q.first(ctx, "offer = ? AND submission = ?", t.Offer, t.Submission)
	if err != nil {
		err = fmt.Errorf("sparkloop outbox: look up %s: %w", t.Key(), err)
	}
	return e, found, err
}

const redrive = "UPDATE sparkloop_conversions SET state = 0, lane = 5, due = ?1, attempts = 0, reason = '', finished = ?1, claimed = 0 WHERE "

// Redrive implements [outbox.Queue].
func (q *Outbox) Redrive(ctx context.Context, ids ...int64) (int, error) {
	n := 0
	defer q.rouse()
	for _, id := range ids {
		one, err := q.db.exec(ctx, redrive+"id = ?2 AND state IN (2, 3)", q.o.Now().UnixMilli(), id)
		if gone := q.db.inPlace(); gone != nil {
			err = gone
		}
		if err != nil {
			return n, fmt.Errorf("sparkloop outbox: redrive %d: %w", id, err)
		}
		n += int(one)
	}
	return n, nil
}

// RedriveAll implements [outbox.Queue].
func (q *Outbox) RedriveAll(ctx context.Context, s outbox.State) (int, error) {
	state, err := number(s)
	if err == nil && s != outbox.Dead && s != outbox.Expired {
		err = fmt.Errorf("%s conversions cannot be redriven, only dead and expired ones", s)
	}
	if err != nil {
		return 0, fmt.Errorf("sparkloop outbox: redrive: %w", err)
	}
	defer q.rouse()
	n, last := 0, int64(0)
	for { // in batches: one statement for millions could fill the disk with its log
		var end sql.NullInt64
		_, err := q.db.query(ctx, func(scan func(...any) error) error { return scan(&end) },
			"SELECT max(id) FROM (SELECT id FROM sparkloop_conversions WHERE "+inState(state)+" AND id > ? ORDER BY id LIMIT 1000)", last)
		if gone := q.db.inPlace(); gone != nil {
			err = gone
		}
		if err == nil && !end.Valid {
			return n, nil
		}
		var some int64
		if err == nil {
			some, err = q.db.exec(ctx, redrive+inState(state)+" AND id > ?2 AND id <= ?3", q.o.Now().UnixMilli(), last, end.Int64)
		}
		if n += int(some); err != nil {
			return n, fmt.Errorf("sparkloop outbox: redrive all: %w", err)
		}
		last = end.Int64
	}
}

// engine implements delivery.Engine.
type engine struct{ q *Outbox }

func (g engine) Missing(ctx context.Context, ts []sparkloop.Tracking) ([]sparkloop.Tracking, error) {
	var missing []sparkloop.Tracking
	for _, t := range ts {
		switch _, known, err := g.q.Lookup(ctx, t); {
		case err != nil:
			return nil, err
		case !known:
			missing = append(missing, t)
		}
	}
	return missing, nil
}

func (g engine) Sweep(ctx context.Context, ts []sparkloop.Tracking, lane int) (int, error) {
	swept := 0
	for some := range slices.Chunk(ts, insertMax) {
		rows := make([][]any, len(some))
		for i, t := range some {
			rows[i] = g.q.insertArgs(t, lane, true)
		}
		n, err := g.q.db.insert(ctx, rows...)
		if err != nil {
			return swept, err
		}
		swept += n
		g.q.rouse()
	}
	return swept, nil
}

func (g engine) Tidy(ctx context.Context, confirmedBefore, horizon time.Time) error {
	_ = g.q.db.inPlace() // logs a lost file
	for {
		n, err := g.q.db.exec(ctx, expiredRows, confirmedBefore.UnixMilli())
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	_, err := g.q.db.exec(ctx, "UPDATE sparkloop_conversions SET due = ? WHERE state = 0 AND lane = 5 AND due > ?",
		g.q.o.Now().UnixMilli(), horizon.UnixMilli())
	return err
}
