package ormtest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

var onSQLite = dialect{
	name:        "sqlite3",
	placeholder: "?",
	bun:         sqlitedialect.New(),
	gorm:        func(db *sql.DB) gorm.Dialector { return &sqlite.Dialector{Conn: db} },
}

// Each database is used by only one SQLite library: two libraries in one
// process break each other's locks.
func TestSQLite(t *testing.T) {
	t.Parallel()
	for driver, settings := range map[string]string{
		"sqlite":  "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate", // modernc.org/sqlite
		"sqlite3": "?_busy_timeout=5000&_journal_mode=WAL&_txlock=immediate",                 // mattn/go-sqlite3
	} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			db, err := sql.Open(driver, "file:"+filepath.ToSlash(filepath.Join(t.TempDir(), "shop.db"))+settings)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, db.Close()) })
			api := sparklooptest.NewServer(t)
			q, err := sqliteoutbox.OpenDB(t.Context(), db, api.Client(sparkloop.WithRateLimit(1000, 1e9)), outbox.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, q.Close(context.WithoutCancel(t.Context()))) })
			run(t, onSQLite, db, api, engine{q, q.EnqueueTx}, func(submission string) {
				_, err := db.ExecContext(t.Context(), fmt.Sprintf(`CREATE TRIGGER "refuse_%s" BEFORE INSERT ON sparkloop_conversions
					WHEN new.submission = '%[1]s' BEGIN SELECT RAISE(ABORT, 'refused'); END`, submission))
				require.NoError(t, err)
			})
		})
	}
}
