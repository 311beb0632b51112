package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// insertMax is how many conversions one transaction stores.
const insertMax = 500

// insert has no numbered parameters: bun uses ?1 itself.
const insert = `INSERT INTO sparkloop_conversions (offer, submission, captured, enqueued, lane, due, swept, test)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (offer, submission) DO NOTHING`

// insertArgs returns the arguments of insert.
func (q *Outbox) insertArgs(t sparkloop.Tracking, lane int, swept bool) []any {
	var captured int64
	if !t.CapturedAt.IsZero() {
		captured = t.CapturedAt.Unix()
	}
	now := q.o.Now().UnixMilli()
	due := now
	if lane == delivery.LaneBacklog && captured > 0 {
		due = captured * 1000
	}
	return []any{t.Offer, t.Submission, captured, now, lane, due, swept, t.Test}
}

// insertion is a call that waits until its conversions are on disk.
type insertion struct {
	ctx  context.Context //nolint:containedctx // of the caller, who may give up
	rows [][]any         // of insertArgs

	stored int // number of new conversions
	err    error
	done   chan struct{} // closed when stored and err are set
}

// insert stores conversions and returns the number of new ones. Calls that arrive
// during a write share the next transaction and its fsync.
func (d *database) insert(ctx context.Context, rows ...[]any) (stored int, err error) {
	i := &insertion{rows: rows}
	d.mu.Lock()
	if !d.storing { // store without another goroutine
		d.storing = true
		d.mu.Unlock()
		defer d.storeWaiting()
		_, err := d.store(ctx, func() []*insertion { return []*insertion{i} })
		return i.stored, err
	}
	within, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	i.ctx, i.done = within, make(chan struct{})
	d.waiting = append(d.waiting, i)
	d.mu.Unlock()
	select {
	case <-i.done:
		return i.stored, i.err
	case <-within.Done():
		return 0, named(ctx, within.Err())
	}
}

// storeWaiting starts the storing of the waiting insertions.
func (d *database) storeWaiting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.storing = len(d.waiting) > 0; !d.storing {
		return
	}
	go func() {
		defer d.storeWaiting()
		batch, err := d.store(context.Background(), d.next)
		for _, i := range batch {
			i.err = err
			close(i.done)
		}
	}()
}

// next takes the insertions of the next transaction from those that wait. It drops
// insertions whose callers have given up.
func (d *database) next() (batch []*insertion) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows, taken := 0, 0
	for _, i := range d.waiting {
		if rows += len(i.rows); taken > 0 && rows > insertMax {
			break
		}
		taken++
		if i.ctx.Err() == nil {
			batch = append(batch, i)
		}
	}
	d.waiting = slices.Delete(d.waiting, 0, taken)
	return batch
}

// store stores a batch. It calls next when the database can be written: until then
// more insertions arrive.
func (d *database) store(ctx context.Context, next func() []*insertion) (batch []*insertion, err error) {
	err = d.use(ctx, true, func(ctx context.Context, db *sql.DB) error {
		if batch == nil {
			batch = next()
		}
		return patient(ctx, busy, func() error { return d.storeIn(ctx, db, batch) })
	})
	if gone := d.inPlace(); gone != nil { // the stored rows are in a lost file
		err = gone
	}
	return batch, err
}

// storeIn stores a batch in one transaction. A single conversion needs none.
func (d *database) storeIn(ctx context.Context, db *sql.DB, batch []*insertion) (err error) {
	insert, err := d.inserting(ctx, db)
	if err != nil {
		return err
	}
	if len(batch) == 1 && len(batch[0].rows) == 1 {
		return batch[0].storeBy(ctx, insert)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	insert = tx.StmtContext(ctx, insert)
	for _, i := range batch {
		if err := i.storeBy(ctx, insert); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// inserting returns insert as a prepared statement: parsing takes longer than
// running.
func (d *database) inserting(ctx context.Context, db *sql.DB) (*sql.Stmt, error) {
	if db != d.db { // db is closed after this use
		return db.PrepareContext(ctx, insert)
	}
	d.mu.Lock()
	s := d.prepared
	d.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := db.PrepareContext(ctx, insert)
	if err == nil {
		d.mu.Lock()
		d.prepared = s
		d.mu.Unlock()
	}
	return s, err
}

func (i *insertion) storeBy(ctx context.Context, insert *sql.Stmt) error {
	i.stored = 0
	for _, args := range i.rows {
		result, err := insert.ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		i.stored += int(n)
	}
	return nil
}
