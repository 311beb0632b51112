package riveroutbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const insufficientPrivilege = "42501" // PostgreSQL's code

// table is one that we use, with the rights to it that we need.
type table struct {
	name   string
	rights []string
}

var tables = []table{
	{"river_job", []string{"SELECT", "INSERT", "UPDATE", "DELETE"}},
	{"river_queue", []string{"SELECT", "INSERT", "UPDATE"}},
	{"river_migration", []string{"SELECT"}},
	{"sparkloop_outbox", []string{"SELECT", "UPDATE"}},
}

const (
	sequence = "river_job_id_seq"
	function = "river_job_state_in_bitmask" // in the unique index. Everybody may call it, unless the database was hardened
)

// check finds out at Open whatever would have an order's EnqueueTx fail later.
func check(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var role string
	var readOnly, exists, usable bool
	err := pool.QueryRow(ctx, `
		SELECT current_user, current_setting('transaction_read_only')::boolean,
			oid IS NOT NULL, coalesce(has_schema_privilege(oid, 'USAGE'), false)
		FROM (SELECT) AS one LEFT JOIN pg_namespace ON nspname = $1::text`, schema).Scan(&role, &readOnly, &exists, &usable)
	switch {
	case err != nil:
		return err
	case readOnly:
		return errors.New("the database takes no writes: it is a replica, or read-only by its settings")
	case !exists:
		return fmt.Errorf("there is no schema %q: run Migrate, or what MigrationSQL returns", schema)
	case !usable:
		return missing(schema, role, "USAGE ON SCHEMA {schema}")
	}
	if err := checkTables(ctx, pool, schema, role); err != nil {
		return err
	}
	return checkVersions(ctx, pool, schema)
}

func missing(schema, role, right string) error {
	return fmt.Errorf("the role %q lacks a right: %s",
		role, in(schema, "GRANT "+right+" TO "+pgx.Identifier{role}.Sanitize()))
}

func checkTables(ctx context.Context, pool *pgxpool.Pool, schema, role string) error {
	for _, t := range tables {
		var exists bool
		var lacking []string
		err := pool.QueryRow(ctx, `
			SELECT count(oid) > 0, coalesce(array_agg(r) FILTER (WHERE NOT has_table_privilege(oid, r)), '{}')
			FROM unnest($3::text[]) AS r LEFT JOIN pg_class
				ON relname = $2::text AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1::text)`,
			schema, t.name, t.rights).Scan(&exists, &lacking)
		switch {
		case err != nil:
			return err
		case !exists:
			return fmt.Errorf("there is no table %s.%s: run Migrate, or what MigrationSQL returns", schema, t.name)
		case len(lacking) > 0:
			return missing(schema, role, strings.Join(lacking, ", ")+" ON {schema}."+t.name)
		}
	}
	var usable, callable bool // an early River lacks the function, which checkVersions tells
	err := pool.QueryRow(ctx, `
		SELECT has_sequence_privilege($1::text, 'USAGE'), coalesce(bool_and(has_function_privilege(oid, 'EXECUTE')), true)
		FROM pg_proc WHERE proname = $2::text AND pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $3::text)`,
		in(schema, "{schema}."+sequence), function, schema).Scan(&usable, &callable)
	switch {
	case err != nil:
		return err
	case !usable:
		return missing(schema, role, "USAGE ON SEQUENCE {schema}."+sequence)
	case !callable:
		return missing(schema, role, "EXECUTE ON FUNCTION {schema}."+function)
	}
	return nil
}

func checkVersions(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var river, version, minimum int
	err := pool.QueryRow(ctx, in(schema, `
		SELECT coalesce((SELECT max(version) FROM {schema}.river_migration WHERE line = 'main'), 0), version, minimum
		FROM {schema}.sparkloop_outbox`)).Scan(&river, &version, &minimum)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s.sparkloop_outbox is empty: drop it, and run Migrate, or what MigrationSQL returns", schema)
	case err != nil:
		return err
	case minimum > schemaVersion:
		return fmt.Errorf("the tables in schema %q are for programs of version %d and later, and this is %d: update the program", schema, minimum, schemaVersion)
	case version < schemaVersion:
		return fmt.Errorf("the tables in schema %q are of version %d, before %d: run Migrate, or what MigrationSQL returns", schema, version, schemaVersion)
	case river < riverVersion():
		return fmt.Errorf("the tables of River in schema %q are of version %d, before %d: run Migrate, or what MigrationSQL returns", schema, river, riverVersion())
	}
	return nil
}
