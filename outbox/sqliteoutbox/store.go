package sqliteoutbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// Enqueue implements [outbox.Queue]. It takes well under a millisecond on a local
// disk. Concurrent calls are written to disk together. It returns an error if the
// disk is full, the file was moved, replaced or deleted, or the database is locked
// for over 10 s. Repeating the call is safe.
func (q *Outbox) Enqueue(ctx context.Context, t sparkloop.Tracking) error {
	stored, err := q.enqueue(t, func(args []any) (int, error) {
		return q.db.insert(ctx, args)
	})
	if err == nil && !stored {
		q.policy.Known(ctx, t, q.Lookup)
	}
	return err
}

// EnqueueTx is Enqueue as a part of tx, a transaction of the database that was
// passed to [OpenDB]. The conversion is stored only if tx commits. Its delivery
// starts within a second after the commit. See [outbox.Execer] for the types of
// tx.
func (q *Outbox) EnqueueTx(ctx context.Context, tx outbox.Execer, t sparkloop.Tracking) error {
	if delivery.NoTx(tx) {
		return errors.New("sparkloop outbox: enqueue: the transaction is nil")
	}
	stored, err := q.enqueue(t, func(args []any) (int, error) {
		n, err := execIn(ctx, tx, insert, args...)
		if gone := q.db.inPlace(); gone != nil {
			err = gone
		}
		return int(n), err
	})
	if err == nil && !stored {
		go q.policy.Known(context.WithoutCancel(ctx), t, q.Lookup) // the transaction may hold the only connection
	}
	return err
}

// enqueue stores a conversion with insert, and reports whether it was new.
func (q *Outbox) enqueue(t sparkloop.Tracking, insert func(args []any) (int, error)) (stored bool, err error) {
	if t.IsZero() {
		return false, nil
	}
	if err := t.Validate(); err != nil {
		return false, fmt.Errorf("sparkloop outbox: enqueue: %w", err)
	}
	n, err := insert(q.insertArgs(t, delivery.LaneFresh, false))
	if err != nil {
		return false, fmt.Errorf("sparkloop outbox: enqueue %s: %w", t.Key(), err)
	}
	q.rouse()
	return n > 0, nil
}

// states are in the order of their numbers in the database.
var states = []outbox.State{outbox.Pending, outbox.Confirmed, outbox.Dead, outbox.Expired}

func number(s outbox.State) (int, error) {
	for n := range states {
		if states[n] == s {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is not a state", s)
}

// inState returns the condition for a state's number. It repeats the condition of
// the partial indexes: SQLite does not infer state > 0 from state = 1.
func inState(state int) string {
	if state == 0 {
		return "state = 0"
	}
	return "state > 0 AND state = " + strconv.Itoa(state)
}

const columns = "id, offer, submission, captured, enqueued, state, due, attempts, reason, finished, test"

// scanEntry reads columns. One damaged row must not stop the queue: for such a row
// it returns an entry with the ID, and with the error as its reason.
func scanEntry(scan func(...any) error) (outbox.Entry, error) {
	var e outbox.Entry
	var state int
	var captured, enqueued, due, finished int64
	err := scan(&e.ID, &e.Tracking.Offer, &e.Tracking.Submission, &captured, &enqueued, &state, &due, &e.Attempts, &e.Reason, &finished, &e.Tracking.Test)
	if err == nil && (state < 0 || state >= len(states)) {
		err = fmt.Errorf("unknown state %d", state)
	}
	if err != nil {
		bad := outbox.Entry{State: outbox.Pending, Reason: unreadable + err.Error()}
		var offer, submission, number, rest any
		if scan(&bad.ID, &offer, &submission, &rest, &rest, &number, &rest, &rest, &rest, &rest, &rest) != nil {
			return outbox.Entry{}, err
		}
		bad.Tracking.Offer, _ = offer.(string)
		bad.Tracking.Submission, _ = submission.(string)
		if n, ok := number.(int64); ok && n >= 0 && n < int64(len(states)) {
			bad.State = states[n]
		}
		return bad, nil
	}
	e.State, e.EnqueuedAt = states[state], at(enqueued)
	if captured != 0 {
		e.Tracking.CapturedAt = time.Unix(captured, 0).UTC()
	}
	if e.State == outbox.Pending {
		e.DueAt = at(due)
	} else {
		e.FinishedAt = at(finished)
	}
	return e, nil
}

const unreadable = "the row cannot be read: "

// lostMax is how many answers may fail to be stored. Then delivery stops.
const lostMax = 20

// pending finds conversions to deliver. It skips those in leftOut.
func (q *Outbox) pending(ctx context.Context, condition string, args ...any) ([]outbox.Entry, error) {
	for {
		q.mu.Lock()
		lost, ids := q.lost, strings.Join(q.leftOut, ", ")
		q.mu.Unlock()
		if lost >= lostMax {
			return nil, fmt.Errorf("the answers for %d conversions cannot be stored; repair the database and restart the program", lost)
		}
		es, err := q.find(ctx, "id NOT IN ("+ids+") AND "+condition, args...)
		bad := slices.IndexFunc(es, func(e outbox.Entry) bool { return e.EnqueuedAt.IsZero() && strings.HasPrefix(e.Reason, unreadable) })
		if err != nil || bad < 0 {
			return es, err
		}
		q.leaveOut(ctx, es[bad].ID, 0, es[bad].Reason)
	}
}

// leaveOut makes this process skip a conversion: it would be sent again and
// again.
func (q *Outbox) leaveOut(ctx context.Context, id int64, lost int, reason string) {
	q.mu.Lock()
	known := slices.Contains(q.leftOut, strconv.FormatInt(id, 10))
	if !known {
		q.lost += lost
		q.leftOut = append(q.leftOut, strconv.FormatInt(id, 10))
	}
	q.mu.Unlock()
	if known {
		return
	}
	q.o.Logger.ErrorContext(ctx, "sparkloop outbox: a conversion is skipped; repair its row, then restart the program",
		slog.Int64("id", id), slog.String("reason", reason))
}

// find reads the entries that match a condition.
func (q *Outbox) find(ctx context.Context, condition string, args ...any) ([]outbox.Entry, error) {
	var found []outbox.Entry
	_, err := q.db.query(ctx, func(scan func(...any) error) error {
		e, err := scanEntry(scan)
		found = append(found, e)
		return err
	}, "SELECT "+columns+" FROM sparkloop_conversions WHERE "+condition, args...)
	return found, err
}

// first is find for one entry.
func (q *Outbox) first(ctx context.Context, condition string, args ...any) (e outbox.Entry, found bool, err error) {
	all, err := q.find(ctx, condition, args...)
	if err != nil || len(all) == 0 {
		return outbox.Entry{}, false, err
	}
	return all[0], true, nil
}

func at(milliseconds int64) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds).UTC()
}

// row implements delivery.SharedState. The common clock is the machine's.
type row struct{ db *database }

func (r row) Load(ctx context.Context) (text string, revision int64, now time.Time, err error) {
	n, err := r.db.query(ctx, func(scan func(...any) error) error { return scan(&text, &revision) },
		"SELECT shared, revision FROM sparkloop_outbox")
	if err == nil && n != 1 {
		err = errors.New("the table sparkloop_outbox is empty")
	}
	return text, revision, time.Now(), err
}

func (r row) Swap(ctx context.Context, revision int64, text string) (bool, error) {
	n, err := r.db.exec(ctx, "UPDATE sparkloop_outbox SET shared = ?, revision = revision + 1 WHERE revision = ?", text, revision)
	return n == 1, err
}
