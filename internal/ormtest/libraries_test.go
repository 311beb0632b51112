package ormtest

import (
	"context"
	"database/sql"
	"testing"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// dialect describes a database for the libraries.
type dialect struct {
	name        string // the name in sqlx and ent
	placeholder string
	bun         schema.Dialect
	gorm        func(*sql.DB) gorm.Dialector
}

// order is a row of the application's table orders.
type order struct {
	Tracking string
}

// transaction is a library's transaction, with the methods that an application
// uses.
type transaction struct {
	outbox.Execer
	insert           func(order) error
	savepoint        func(ctx context.Context, inside func(outbox.Execer) error) error // an error from inside rolls back to the savepoint
	commit, rollback func() error
}

// libraries are the ways to begin a transaction.
var libraries = map[string]func(*testing.T, dialect, *sql.DB) transaction{
	"database/sql": func(t *testing.T, d dialect, db *sql.DB) transaction {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		return transaction{
			Execer: tx,
			insert: func(o order) error {
				_, err := tx.ExecContext(t.Context(), "INSERT INTO orders (tracking) VALUES ("+d.placeholder+")", o.Tracking)
				return err
			},
			savepoint: savepointIn(tx),
			commit:    tx.Commit, rollback: tx.Rollback,
		}
	},
	"sqlx": func(t *testing.T, d dialect, db *sql.DB) transaction {
		t.Helper()
		tx, err := sqlx.NewDb(db, d.name).BeginTxx(t.Context(), nil)
		require.NoError(t, err)
		return transaction{
			Execer: tx,
			insert: func(o order) error {
				_, err := tx.NamedExecContext(t.Context(), "INSERT INTO orders (tracking) VALUES (:tracking)", o)
				return err
			},
			savepoint: savepointIn(tx),
			commit:    tx.Commit, rollback: tx.Rollback,
		}
	},
	"GORM":                     func(t *testing.T, d dialect, db *sql.DB) transaction { t.Helper(); return gormTx(t, d, db, false) },
	"GORM, prepared statement": func(t *testing.T, d dialect, db *sql.DB) transaction { t.Helper(); return gormTx(t, d, db, true) },
	"bun": func(t *testing.T, d dialect, db *sql.DB) transaction {
		t.Helper()
		tx, err := bun.NewDB(db, d.bun).BeginTx(t.Context(), nil)
		require.NoError(t, err)
		return transaction{
			Execer: tx,
			insert: func(o order) error {
				_, err := tx.NewInsert().Model(&o).Exec(t.Context())
				return err
			},
			savepoint: func(ctx context.Context, inside func(outbox.Execer) error) error {
				return tx.RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error { return inside(tx) })
			},
			commit: tx.Commit, rollback: tx.Rollback,
		}
	},
	// A generated *ent.Tx with the feature sql/execquery passes ExecContext to
	// this transaction.
	"ent": func(t *testing.T, d dialect, db *sql.DB) transaction {
		t.Helper()
		begun, err := entsql.OpenDB(d.name, db).Tx(t.Context())
		require.NoError(t, err)
		tx := begun.(*entsql.Tx)
		return transaction{
			Execer: tx,
			insert: func(o order) error {
				query, args := entsql.Dialect(d.name).Insert("orders").Columns("tracking").Values(o.Tracking).Query()
				var result sql.Result
				return tx.Exec(t.Context(), query, args, &result)
			},
			savepoint: savepointIn(tx),
			commit:    tx.Commit, rollback: tx.Rollback,
		}
	},
}

func gormTx(t *testing.T, d dialect, db *sql.DB, prepare bool) transaction {
	t.Helper()
	orm, err := gorm.Open(d.gorm(db), &gorm.Config{Logger: logger.Discard, PrepareStmt: prepare})
	require.NoError(t, err)
	tx := orm.WithContext(t.Context()).Begin()
	require.NoError(t, tx.Error)
	return transaction{
		Execer: tx.Statement.ConnPool,
		insert: func(o order) error { return tx.Create(&o).Error },
		savepoint: func(_ context.Context, inside func(outbox.Execer) error) error {
			return tx.Transaction(func(tx *gorm.DB) error { return inside(tx.Statement.ConnPool) })
		},
		commit:   func() error { return tx.Commit().Error },
		rollback: func() error { return tx.Rollback().Error },
	}
}

// savepointIn runs a function within a savepoint, with plain SQL.
func savepointIn(tx outbox.Execer) func(context.Context, func(outbox.Execer) error) error {
	return func(ctx context.Context, inside func(outbox.Execer) error) error {
		if _, err := tx.ExecContext(ctx, "SAVEPOINT conversion"); err != nil {
			return err
		}
		err := inside(tx)
		end := "RELEASE SAVEPOINT conversion"
		if err != nil {
			end = "ROLLBACK TO SAVEPOINT conversion"
		}
		if _, endErr := tx.ExecContext(ctx, end); endErr != nil {
			return endErr
		}
		return err
	}
}
