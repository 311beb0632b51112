package ormtest

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect/pgdialect"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

var onPostgreSQL = dialect{
	name:        "postgres",
	placeholder: "$1",
	bun:         pgdialect.New(),
	gorm:        func(db *sql.DB) gorm.Dialector { return postgres.New(postgres.Config{Conn: db}) },
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct{ driver, settings string }{
		"pgx":                  {"pgx", ""},
		"pgx, exec":            {"pgx", "&default_query_exec_mode=exec"},
		"pgx, simple protocol": {"pgx", "&default_query_exec_mode=simple_protocol"},
		"lib/pq":               {"postgres", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Shared(t).Database(t)
			db, err := sql.Open(at.driver, url+at.settings)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, db.Close()) })
			pool, err := pgxpool.New(t.Context(), url)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
			q, err := riveroutbox.Open(t.Context(), pool, api.Client(sparkloop.WithRateLimit(1000, 1e9)),
				riveroutbox.Options{Options: outbox.Options{Logger: slog.New(slog.DiscardHandler)}})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, q.Close(context.WithoutCancel(t.Context()))) })
			require.ErrorContains(t, q.EnqueueSQL(t.Context(), nil, sparkloop.Tracking{}), "the transaction is nil")
			require.ErrorContains(t, q.EnqueueSQL(t.Context(), (*sql.Tx)(nil), sparkloop.Tracking{}), "the transaction is nil")
			_, err = db.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$`)
			require.NoError(t, err)
			run(t, onPostgreSQL, db, api, engine{q, q.EnqueueSQL}, func(submission string) {
				_, err := db.ExecContext(t.Context(), fmt.Sprintf(`CREATE TRIGGER "refuse_%s" BEFORE INSERT ON sparkloop.river_job
					FOR EACH ROW WHEN (new.args->>'submission' = '%[1]s') EXECUTE FUNCTION refuse()`, submission))
				require.NoError(t, err)
			})
		})
	}
}
