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

// waitMax bounds a wait for a connection and a lock, where ctx has no bound.
const waitMax = 10 * time.Second

// database is the application's database, or a file of our own.
type database struct {
	db   *sql.DB
	file *file
	own  bool
	pin  *sql.Conn     // of our own file: an open connection keeps the -wal file
	turn chan struct{} // held by who writes to our own file: SQLite lets those who wait starve each other

	logger *slog.Logger

	mu       sync.Mutex
	prepared *sql.Stmt // see inserting
	storing  bool      // somebody is in store
	waiting  []*insertion
	moved    bool // and the log has it
	damaged  bool // likewise
}

// openOwn opens a file of our own.
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

// newShared is the application's database. Its main file should stay the same.
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
	d.file.forget() // a later use opens the file that is there then
	err := d.pin.Close()
	if errors.Is(err, sql.ErrConnDone) { // it is closed already
		err = nil
	}
	return errors.Join(err, d.db.Close())
}

// inPlace returns an error if the file is no longer where it was opened. Nothing
// is acknowledged then. The log gets it once.
func (d *database) inPlace() error {
	err := d.file.check()
	d.mu.Lock()
	defer d.mu.Unlock()
	if moved := err != nil; moved != d.moved {
		d.moved = moved
		if moved {
			d.logger.Error("sparkloop outbox: the database's file was deleted, moved or replaced; new conversions are refused", slog.Any("error", err))
		} else {
			d.logger.Warn("sparkloop outbox: the database's file is back")
		}
	}
	return err
}

// use calls f with the pool, within waitMax. Once our own file is closed, each
// use opens it for itself.
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

// SQLite's texts are the same with all drivers.
func damaged(err error) bool {
	return says(err, "database disk image is malformed", "file is not a database")
}

// busy reports SQLITE_BUSY, which connections without a busy timeout return.
func busy(err error) bool { return says(err, "database is locked") }

// permanent reports an error that the same statement returns again.
func permanent(err error) bool {
	return damaged(err) || says(err, "constraint failed", "cannot store", "datatype mismatch", "string or blob too big")
}

func says(err error, texts ...string) bool {
	return err != nil && slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// named names a wait that waitMax has ended.
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

// passing is busy, or too few connections are open to a file that is gone. What is
// in it is still delivered by those.
func passing(err error) bool { return busy(err) || errors.Is(err, errMoved) }

// patient repeats do while its error is one that passes.
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

// query reads rows whole, each through a call of row, and returns how many
// there were: an open cursor would hold a connection while the caller works.
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
