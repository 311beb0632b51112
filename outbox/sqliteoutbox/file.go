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

// settings are those of each connection to a file of our own. mode=rw: only
// makeFile makes files. After a long reader the -wal file shrinks to 4 MiB again.
const settings = "?mode=rw&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
	"&_pragma=journal_size_limit(4194304)&_txlock=immediate"

// file is the file that a queue's connections have open. What is committed to it
// is lost once its path names another file or none.
type file struct {
	path  string
	names []string // to watch
	driver.Connector

	mu   sync.Mutex
	open map[string]os.FileInfo // by name
}

// Connect opens a connection to the same file as those before it.
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

// identify remembers the file that each name stands for, where it is not known.
func (f *file) identify() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.names {
		if info, err := os.Stat(name); err == nil && f.open != nil && f.open[name] == nil {
			f.open[name] = info
		}
	}
}

// forget ends the watch over a file that is being closed.
func (f *file) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = nil
}

var errMoved = errors.New("the open file is no longer in its place: put it back, or restart the program")

// check returns errMoved if a name does not stand for the open file any more.
func (f *file) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, was := range f.open {
		switch is, err := os.Stat(name); {
		case err != nil:
			return fmt.Errorf("%w: %w", errMoved, err)
		case !os.SameFile(was, is):
			return fmt.Errorf("%w: %s is another file", errMoved, name)
		}
	}
	return nil
}

// openFile returns the pool for a file of our own, which exists.
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
	if real, err := filepath.EvalSymlinks(path); err == nil { // SQLite puts the other files beside that one
		f.names = append(f.names, real, real+"-wal", real+"-shm")
	}
	return sql.OpenDB(f), f, nil
}

// making keeps SQLite from a file that makeFile has not closed yet.
var making sync.Mutex

// makeFile makes the file if there is none, for this user alone. It never opens
// one that is there: closing it would drop the locks that SQLite has on it
// elsewhere in this process.
func makeFile(path string) error {
	making.Lock()
	defer making.Unlock()
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s cannot be written: it is not a file", path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if left, err := os.Stat(path + "-wal"); err == nil && left.Mode().IsRegular() && left.Size() > 0 {
			return fmt.Errorf("the file is missing, but not %s-wal, which may hold conversions: "+
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

const unwritable = "the file cannot be written; its folder must exist and let this process write"

// plain says in clear words why a file cannot be ours.
func plain(path string, err error) error {
	var said *sqlite.Error
	if !errors.As(err, &said) {
		return err
	}
	switch said.Code() & 0xff { // the rest is SQLite's detail
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a SQLite database; it is left as it is: give another path: %w", path, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s is damaged; copy it, then restore a backup or run the sqlite3 command .recover: %w", path, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%s: %w", unwritable, err)
	}
	return err
}
