package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// waitMax bounds a wait for a connection and a lock, where ctx has no bound.
const waitMax = 10 * time.Second

// database is the application's database, or a file of our own. That one can
// still be used after close, which leaves nothing open: each use then opens the
// file for itself.
type database struct {
	path string // "" for the application's
	db   *sql.DB

	turn chan struct{} // held by who writes to our own file: SQLite lets those who wait starve each other

	mu     sync.Mutex
	uses   int // of db, and one until close
	closed bool
	shut   chan struct{} // closed when db is
	err    error         // what closing it said
}

func newDatabase(path string, db *sql.DB) *database {
	return &database{path: path, db: db, turn: make(chan struct{}, 1), uses: 1, shut: make(chan struct{})}
}

// use calls f with the pool, within waitMax.
func (d *database) use(ctx context.Context, write bool, f func(context.Context, *sql.DB) error) error {
	within, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	err := d.useWithin(within, write, f)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("the database was busy for %v: %w", waitMax, err)
	}
	return err
}

func (d *database) useWithin(ctx context.Context, write bool, f func(context.Context, *sql.DB) error) error {
	open := d.hold()
	if open {
		defer d.release()
	}
	if d.path != "" && (write || !open) {
		select {
		case d.turn <- struct{}{}:
			defer func() { <-d.turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if open {
		return f(ctx, d.db)
	}
	db, err := openFile(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, db), db.Close())
}

// hold keeps the pool open until release, unless it is closed.
func (d *database) hold() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.uses++
	}
	return !d.closed
}

func (d *database) release() {
	d.mu.Lock()
	d.uses--
	last := d.uses == 0
	d.mu.Unlock()
	if last {
		d.err = d.db.Close()
		close(d.shut)
	}
}

// close has the pool closed by its last use, and waits for that.
func (d *database) close(ctx context.Context) error {
	if d.path == "" {
		return nil
	}
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	d.mu.Unlock()
	if first {
		d.release()
	}
	select {
	case <-d.shut:
		return d.err
	default:
	}
	select {
	case <-d.shut:
		return d.err
	case <-ctx.Done():
		return fmt.Errorf("sparkloop outbox: close: other calls still use the file, and the last will close it: %w", ctx.Err())
	}
}

// exec runs a statement and returns how many rows it changed.
func (d *database) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = d.use(ctx, true, func(ctx context.Context, db *sql.DB) error {
		n, err = execIn(ctx, db, query, args...)
		for busy(err) { // the application's connections may have no busy timeout
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
				n, err = execIn(ctx, db, query, args...)
			}
		}
		return err
	})
	return n, err
}

func execIn(ctx context.Context, in outbox.Execer, query string, args ...any) (int64, error) {
	result, err := in.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// busy knows SQLITE_BUSY by its text, which all drivers have in common.
func busy(err error) bool { return err != nil && strings.Contains(err.Error(), "database is locked") }

// query reads rows whole, each through a call of row, and returns how many
// there were: an open cursor would hold a connection while the caller works.
func (d *database) query(ctx context.Context, row func(scan func(...any) error) error, query string, args ...any) (n int, err error) {
	err = d.use(ctx, false, func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Err has it
		for ; rows.Next(); n++ {
			if err := row(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return n, err
}
