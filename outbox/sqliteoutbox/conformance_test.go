package sqliteoutbox_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/conformance"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance.Run(t, func(t *testing.T) conformance.Database {
		t.Helper()
		d := &database{t: t, dsn: "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "shop.db")) +
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"}
		d.shop = d.pool(new(atomic.Bool))
		_, err := d.shop.ExecContext(t.Context(), "CREATE TABLE orders (submission TEXT)")
		require.NoError(t, err)
		return d
	})
}

// database is the application's SQLite file.
type database struct {
	t    *testing.T
	dsn  string
	shop *sql.DB
	mode atomic.Int32 // of all connections
}

const (
	writable int32 = iota
	readOnly
	full
)

// process is a queue with its own pool.
type process struct {
	*sqliteoutbox.Outbox
	db  *sql.DB
	cut *atomic.Bool
}

func (d *database) pool(cut *atomic.Bool) *sql.DB {
	db := sql.OpenDB(connector{d, cut})
	d.t.Cleanup(func() { assert.NoError(d.t, db.Close()) })
	return db
}

func (d *database) Open(ctx context.Context, c *sparkloop.Client, o outbox.Options) (conformance.Queue, error) {
	p := &process{cut: new(atomic.Bool)}
	p.db = d.pool(p.cut)
	var err error
	p.Outbox, err = sqliteoutbox.OpenDB(ctx, p.db, c, o)
	return p, err
}

func (d *database) EnqueueTx(ctx context.Context, q conformance.Queue, t sparkloop.Tracking, commit bool) error {
	p := q.(*process)
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (?)", t.Submission); err != nil {
		return err
	}
	err = p.EnqueueTx(ctx, tx, t)
	if commit {
		err = errors.Join(err, tx.Commit())
	}
	return err
}

func (d *database) Orders(ctx context.Context) (n int, err error) {
	return n, d.shop.QueryRowContext(ctx, "SELECT count(*) FROM orders").Scan(&n)
}

func (d *database) Replace(ctx context.Context, t, by sparkloop.Tracking) error {
	_, err := d.shop.ExecContext(ctx, "UPDATE sparkloop_conversions SET offer = ?, submission = ? WHERE offer = ? AND submission = ?",
		by.Offer, by.Submission, t.Offer, t.Submission)
	return err
}

func (d *database) Cut(q conformance.Queue)  { q.(*process).cut.Store(true) }
func (d *database) Mend(q conformance.Queue) { q.(*process).cut.Store(false) }

func (d *database) Faults() []conformance.Fault {
	set := func(mode int32) func(context.Context) error {
		return func(context.Context) error { d.mode.Store(mode); return nil }
	}
	return []conformance.Fault{
		{Name: "read-only", Begin: set(readOnly), End: set(writable)},
		{Name: "disk full", Begin: set(full), End: set(writable)},
	}
}

// connector opens connections that fail on demand.
type connector struct {
	d   *database
	cut *atomic.Bool
}

func (c connector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	if c.cut.Load() {
		return nil, errCut
	}
	opened, err := c.Driver().Open(c.d.dsn)
	if err != nil {
		return nil, err
	}
	return &conn{conn: opened.(sqliteConn), connector: c}, nil
}

var (
	errCut  = errors.New("disk I/O error (10)")
	errFull = errors.New("database or disk is full (13)")
)

type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type conn struct {
	conn sqliteConn
	connector
	queryOnly bool
}

// ready returns an error if the connection is cut. It sets the database's mode.
func (c *conn) ready(ctx context.Context, query string) error {
	if c.cut.Load() {
		return errCut
	}
	mode := c.d.mode.Load()
	if mode == full && !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "PRAGMA") {
		return errFull
	}
	if queryOnly := mode == readOnly; queryOnly != c.queryOnly {
		set := "PRAGMA query_only = 0"
		if queryOnly {
			set = "PRAGMA query_only = 1"
		}
		if _, err := c.conn.ExecContext(ctx, set, nil); err != nil {
			return err
		}
		c.queryOnly = queryOnly
	}
	return nil
}

func (c *conn) Close() error { return c.conn.Close() }

func (c *conn) Begin() (driver.Tx, error) { return nil, errors.New("BeginTx is there") }

func (c *conn) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("PrepareContext is there")
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	prepared, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt{prepared.(sqliteStmt), c, query}, nil
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type stmt struct {
	sqliteStmt
	c     *conn
	query string
}

func (s stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.c.ready(ctx, s.query); err != nil {
		return nil, err
	}
	return s.sqliteStmt.ExecContext(ctx, args)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	return c.conn.ExecContext(ctx, query, args)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	return c.conn.QueryContext(ctx, query, args)
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := c.ready(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	begun, err := c.conn.BeginTx(ctx, o)
	return tx{begun, c}, err
}

// tx may also be cut between its statements.
type tx struct {
	driver.Tx
	c *conn
}

func (t tx) Commit() error {
	if t.c.cut.Load() {
		return errors.Join(errCut, t.Rollback())
	}
	return t.Tx.Commit()
}
