package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

// openMost limits the time to open a database.
const openMost = 30 * time.Second

// place is the location of a queue.
type place struct{ sqlite, postgres, schema string }

func (a *app) queueCommand() *cobra.Command {
	var p place
	c := &cobra.Command{
		Use:   "queue",
		Short: "Inspect an outbox, and redrive dead conversions",
		Long: `Inspect an outbox in a SQLite file or in PostgreSQL. It is safe while a program uses
the outbox. Only redrive writes. No command delivers or calls SparkLoop.

Other users of the machine can see a password in --postgres. Set PGPASSWORD or use a
password file instead. The PG variables of psql are supported.`,
		Example: `  sparkloop queue stats --sqlite /var/lib/shop/sparkloop.db
  sparkloop queue list dead --postgres postgres://shop@db.internal/shop
  sparkloop queue redrive --all dead --sqlite sparkloop.db`,
	}
	flags := c.PersistentFlags()
	flags.StringVar(&p.sqlite, "sqlite", "", "`file` of the outbox, or of the application's database")
	flags.StringVar(&p.postgres, "postgres", "", "`URL` of the database")
	flags.StringVar(&p.schema, "schema", "", "the outbox's `schema` in PostgreSQL (default \"sparkloop\")")
	c.MarkFlagsMutuallyExclusive("sqlite", "postgres")
	c.MarkFlagsMutuallyExclusive("sqlite", "schema")
	return group(c, a.statsCommand(&p), a.listCommand(&p), a.showCommand(&p), a.redriveCommand(&p), a.exportCommand(&p))
}

// with opens the queue, calls f and closes the queue.
func (a *app) with(cmd *cobra.Command, p *place, write bool, f func(context.Context, outbox.Queue) error) error {
	ctx := cmd.Context()
	opening, cancel := context.WithTimeout(ctx, openMost)
	defer cancel()
	var q outbox.Queue
	var closeDB func()
	var err error
	switch {
	case p.sqlite != "":
		q, closeDB, err = a.openSQLite(opening, p.sqlite, write)
	case cmd.Flags().Changed("postgres"):
		q, closeDB, err = a.openPostgres(opening, p.postgres, p.schema)
	default:
		return misused("%s: give --sqlite FILE or --postgres URL", cmd.CommandPath())
	}
	if err != nil {
		return err
	}
	defer closeDB()
	err = f(ctx, q)
	return errors.Join(err, q.Close(context.WithoutCancel(ctx)))
}

// only returns options with which a queue neither delivers nor changes a
// schema.
func only() outbox.Options {
	return outbox.Options{Workers: -1, NoMigrate: true, Logger: slog.New(slog.DiscardHandler)}
}

// idle returns a client for a queue that does not deliver. It is never used.
func (a *app) idle() (*sparkloop.Client, error) {
	var opts []sparkloop.Option
	if base := a.getenv("SPARKLOOP_BASE_URL"); base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	c, err := sparkloop.New("no-key", opts...)
	if err != nil {
		return nil, &failure{exitUsage, err}
	}
	return c, nil
}

func (a *app) openSQLite(ctx context.Context, path string, write bool) (outbox.Queue, func(), error) {
	client, err := a.idle()
	if err != nil {
		return nil, nil, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, misused("the file %s does not exist", path)
	case err != nil:
		return nil, nil, failed(err)
	case !info.Mode().IsRegular():
		return nil, nil, misused("%s is not a file", path)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, nil, failed(err)
	}
	// mode=rw creates no file. In WAL mode even a reader writes the shared
	// memory, so query_only prevents changes instead.
	name := url.URL{Scheme: "file", OmitHost: true, Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}
	settings := "?mode=rw&_pragma=busy_timeout(5000)&_txlock=immediate"
	if !write {
		settings += "&_pragma=query_only(1)"
	}
	db, err := sql.Open("sqlite", name.String()+settings)
	if err != nil {
		return nil, nil, failed(err)
	}
	closeDB := func() { _ = db.Close() }
	q, err := sqliteoutbox.OpenDB(ctx, db, client, only())
	if err != nil {
		closeDB()
		return nil, nil, failed(fmt.Errorf("%s: %w", path, withHint(err)))
	}
	return q, closeDB, nil
}

func (a *app) openPostgres(ctx context.Context, address, schema string) (outbox.Queue, func(), error) {
	client, err := a.idle()
	if err != nil {
		return nil, nil, err
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, nil, misused("--postgres: %w", err)
	}
	config.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, failed(err)
	}
	q, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{Options: only(), Schema: schema})
	if err != nil {
		pool.Close()
		return nil, nil, failed(withHint(err))
	}
	return q, pool.Close, nil
}

// withHint adds a hint to an error about missing tables.
func withHint(err error) error {
	if text := err.Error(); strings.Contains(text, "NoMigrate") || strings.Contains(text, "Migrat") {
		return fmt.Errorf("%w\nThis command does not create or change tables. Start the program that delivers: it creates them", err)
	}
	return err
}

// states are the states of a conversion.
var states = []string{string(outbox.Pending), string(outbox.Confirmed), string(outbox.Dead), string(outbox.Expired)}

// stateArgs accepts any number of states.
func stateArgs(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		if !slices.Contains(states, arg) {
			return fmt.Errorf("%q is not a state: choose from %s", arg, strings.Join(states, ", "))
		}
	}
	return nil
}

func (a *app) schemaCommand() *cobra.Command {
	var schema string
	postgres := &cobra.Command{
		Use:   "postgres",
		Short: "Print the tables of riveroutbox as a script for psql",
		Long: `Print the script that creates or updates riveroutbox's schema and tables, for a
database in which only an administrator may create them. It is safe to repeat. At its
end are the rights that the application's role needs. Do not use psql's -1.`,
		Example: `  sparkloop schema postgres | psql -v ON_ERROR_STOP=1 "$ADMIN_URL"`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			defer func() {
				if wrong := recover(); wrong != nil { // MigrationSQL panics on an invalid name
					err = misused("--schema: %v", wrong)
				}
			}()
			script := riveroutbox.MigrationSQL(schema)
			if _, err := fmt.Fprint(a.out, script); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	postgres.Flags().StringVar(&schema, "schema", "", "the outbox's `schema` (default \"sparkloop\")")
	return group(&cobra.Command{Use: "schema", Short: "Print the tables of an outbox"}, postgres)
}
