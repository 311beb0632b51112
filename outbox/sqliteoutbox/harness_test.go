package sqliteoutbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// settings are the README's settings for an application's database.
const settings = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"

// closed closes a queue when the test ends.
func closed(t *testing.T, q *sqliteoutbox.Outbox) *sqliteoutbox.Outbox {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, q.Close(ctx))
	})
	return q
}

// shop returns an application's database, with orders.
func shop(t *testing.T, query string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "shop.db")+query)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE orders (id INTEGER PRIMARY KEY, tracking TEXT)")
	require.NoError(t, err)
	return db
}

// logged is a log that a test can read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func count(text, part string) int { return strings.Count(text, part) }

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func click(api *sparklooptest.Server) sparkloop.Tracking {
	_, tracking := api.Click("", "https://shop.example/")
	return tracking
}

var enqueueOnly = outbox.Options{Workers: -1}
