package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"time"
)

// waitMax bounds a wait for a connection and a lock, where ctx has no bound.
const waitMax = 10 * time.Second

// database is the application's database, or a file of our own. That one can
// still be used after close, which leaves nothing open: each use then opens the
// file for itself.
type database struct {
	path string // "" for the application's

	mu     sync.RWMutex
	db     *sql.DB
	closed bool
}

// use calls f with the pool.
func (d *database) use(f func(*sql.DB) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.closed {
		return f(d.db)
	}
	db, err := openFile(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.path == "" {
		return nil
	}
	d.closed = true
	return d.db.Close()
}

// exec runs a statement and returns how many rows it changed.
func (d *database) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	err = d.use(func(db *sql.DB) error {
		n, err = execIn(ctx, db, query, args...)
		for busy(err) && ctx.Err() == nil { // the application's connections may have no busy timeout
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
				n, err = execIn(ctx, db, query, args...)
			}
		}
		return err
	})
	return n, err
}

// execer is what a database and a transaction have in common.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func execIn(ctx context.Context, in execer, query string, args ...any) (int64, error) {
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
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	err = d.use(func(db *sql.DB) error {
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
