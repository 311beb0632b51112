package sqliteoutbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// settings are for each connection to our own file. With mode=rw only makeFile
// creates files. After a long read the -wal file shrinks to 4 MiB again.
const settings = "?mode=rw&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
	"&_pragma=journal_size_limit(4194304)&_txlock=immediate"

// file is the open file of a queue's connections. If its path leads to another
// file, or to none, new commits are lost.
type file struct {
	path  string
	names []string // watched paths
	driver.Connector

	mu   sync.Mutex
	open map[string]os.FileInfo // by name
}

// Connect opens a connection. It returns an error if the path no longer leads to
// the file of the earlier connections.
func (f *file) Connect(ctx context.Context) (driver.Conn, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	conn, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	f.identify()
	if err := f.check(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// identify stores the identity of each watched file that exists.
func (f *file) identify() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.names {
		if info, err := os.Stat(name); err == nil && f.open != nil && f.open[name] == nil {
			f.open[name] = info
		}
	}
}

// forget ends the watch. The file is being closed.
func (f *file) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = nil
}

var errMoved = errors.New("the open file was moved, replaced or deleted: put it back, or restart the program")

// check returns errMoved if a watched path no longer leads to the open file.
func (f *file) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, was := range f.open {
		switch is, err := os.Stat(name); {
		case err != nil:
			return fmt.Errorf("%w: %w", errMoved, err)
		case !os.SameFile(was, is):
			return fmt.Errorf("%w: %s is a different file now", errMoved, name)
		}
	}
	return nil
}

// openFile returns the pool for our own file, which must exist.
func openFile(path string) (*sql.DB, *file, error) {
	name := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	if !strings.HasPrefix(name.Path, "/") {
		name.Path = "/" + name.Path // C:/...
	}
	connector, err := sqlite.NewConnector(name.String() + settings)
	if err != nil {
		return nil, nil, err
	}
	f := &file{path: path, names: []string{path}, Connector: connector, open: make(map[string]os.FileInfo)}
	if real, err := filepath.EvalSymlinks(path); err == nil { // SQLite puts -wal and -shm beside the link's target
		f.names = append(f.names, real, real+"-wal", real+"-shm")
	}
	return sql.OpenDB(f), f, nil
}

// making prevents a second makeFile from returning before the first has closed
// its file.
var making sync.Mutex

// makeFile creates the file if there is none, readable by this user only. It never
// opens an existing file: closing it would drop SQLite's locks on the file in this
// process.
func makeFile(path string) error {
	making.Lock()
	defer making.Unlock()
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s cannot be written: it is not a file", path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if left, err := os.Stat(path + "-wal"); err == nil && left.Mode().IsRegular() && left.Size() > 0 {
			return fmt.Errorf("the file is missing, but %s-wal exists and may hold conversions: "+
				"put the file back, or move %[1]s-wal and %[1]s-shm away", path)
		}
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil { //nolint:gosec // the caller's own path
			err = f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", unwritable, err)
	}
	return nil
}

const unwritable = "the file cannot be written; its folder must exist and be writable by this process"

// plain adds to an error of SQLite what to do.
func plain(path string, err error) error {
	var said *sqlite.Error
	if !errors.As(err, &said) {
		return err
	}
	switch said.Code() & 0xff { // the rest is SQLite's detail
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a SQLite database; it was not changed: use another path: %w", path, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s is damaged; copy it, then restore a backup or run the sqlite3 command .recover: %w", path, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%s: %w", unwritable, err)
	}
	return err
}
