package sqliteoutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// waitMax bounds the wait for a connection and a lock, together with ctx.
const waitMax = 10 * time.Second

// database is the application's database, or our own file.
type database struct {
	db   *sql.DB
	file *file
	own  bool
	pin  *sql.Conn     // to our own file: an open connection keeps the -wal file
	turn chan struct{} // held while a call writes to our own file: SQLite's waiting is not fair

	logger *slog.Logger

	mu       sync.Mutex
	prepared *sql.Stmt // see inserting
	storing  bool      // a call is in store
	waiting  []*insertion
	moved    bool // logged
	damaged  bool // logged
}

// openOwn opens our own file.
func openOwn(ctx context.Context, path string) (*database, error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	db, f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	pin, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &database{db: db, file: f, own: true, pin: pin, turn: make(chan struct{}, 1)}, nil
}

// newShared returns the application's database. It watches the main file.
func newShared(ctx context.Context, db *sql.DB) *database {
	d := &database{db: db, file: &file{open: make(map[string]os.FileInfo)}}
	var seq int
	var name string
	row := db.QueryRowContext(ctx, "PRAGMA database_list")
	if row.Scan(&seq, &name, &d.file.path) == nil && d.file.path != "" {
		d.file.names = []string{d.file.path}
		d.file.identify()
	}
	return d
}

// close closes our own file as soon as no call uses it.
func (d *database) close() error {
	if !d.own {
		return nil
	}
	d.file.forget() // a later use opens whatever file the path leads to
	err := d.pin.Close()
	if errors.Is(err, sql.ErrConnDone) { // already closed
		err = nil
	}
	return errors.Join(err, d.db.Close())
}

// inPlace returns an error if the path no longer leads to the open file. Enqueue
// then fails. It logs each change once.
func (d *database) inPlace() error {
	err := d.file.check()
	d.mu.Lock()
	defer d.mu.Unlock()
	if moved := err != nil; moved != d.moved {
		d.moved = moved
		if moved {
			d.logger.Error("sparkloop outbox: the database's file was deleted, moved or replaced; new conversions are rejected", slog.Any("error", err))
		} else {
			d.logger.Warn("sparkloop outbox: the database's file is back")
		}
	}
	return err
}

// use calls f with the pool, within waitMax. After close, it opens our own file for
// this call.
func (d *database) use(ctx context.Context, write bool, f func(context.Context, *sql.DB) error) error {
	within, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	err := d.useWithin(within, write, f)
	if damaged(err) {
		d.mu.Lock()
		said := d.damaged
		d.damaged = true
		d.mu.Unlock()
		if !said {
			d.logger.Error("sparkloop outbox: the database is damaged; stop the program, copy the file, then restore a backup or run the sqlite3 command .recover",
				slog.Any("error", err))
		}
	}
	return named(ctx, err)
}

// damaged reports a damaged database, by SQLite's text: it is the same with all
// drivers.
func damaged(err error) bool {
	return says(err, "database disk image is malformed", "file is not a database")
}

// busy reports SQLITE_BUSY. Connections without a busy timeout return it at once.
func busy(err error) bool { return says(err, "database is locked") }

// permanent reports an error that a repeated statement would return again.
func permanent(err error) bool {
	return damaged(err) || says(err, "constraint failed", "cannot store", "datatype mismatch", "string or blob too big")
}

func says(err error, texts ...string) bool {
	return err != nil && slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// named explains the error of a wait that waitMax has ended.
func named(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("the database was busy for %v: %w", waitMax, err)
	}
	return err
}

func (d *database) useWithin(ctx context.Context, write bool, f func(context.Context, *sql.DB) error) error {
	if !d.own {
		return f(ctx, d.db)
	}
	if write {
		if err := d.takeTurn(ctx); err != nil {
			return err
		}
		defer d.endTurn()
	}
	if err := f(ctx, d.db); !says(err, "sql: database is closed") {
		return err
	}
	if !write {
		if err := d.takeTurn(ctx); err != nil {
			return err
		}
		defer d.endTurn()
	}
	db, _, err := openFile(d.file.path)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, db), db.Close())
}

func (d *database) takeTurn(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *database) endTurn() { <-d.turn }

// exec runs a statement and returns how many rows it changed.
func (d *database) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = d.use(ctx, true, func(ctx context.Context, db *sql.DB) error {
		return patient(ctx, passing, func() error {
			n, err = execIn(ctx, db, query, args...)
			return err
		})
	})
	return n, err
}

// passing reports an error that may pass. errMoved may: no new connection can be
// opened, but an open one may become free, which still reads the lost file.
func passing(err error) bool { return busy(err) || errors.Is(err, errMoved) }

// patient repeats do while passes accepts its error, until ctx ends.
func patient(ctx context.Context, passes func(error) bool, do func() error) error {
	for {
		err := do()
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func execIn(ctx context.Context, in outbox.Execer, query string, args ...any) (int64, error) {
	result, err := in.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query reads all rows, calls row for each, and returns their number. It leaves no
// cursor open, which would hold a connection while the caller works.
func (d *database) query(ctx context.Context, row func(scan func(...any) error) error, query string, args ...any) (n int, err error) {
	err = d.use(ctx, false, func(ctx context.Context, db *sql.DB) error {
		return patient(ctx, func(err error) bool { return errors.Is(err, errMoved) }, func() error {
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
	})
	return n, err
}
