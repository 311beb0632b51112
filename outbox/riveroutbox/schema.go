package riveroutbox

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	defaultSchema = "sparkloop"

	// schemaVersion is the version of our own table. minimumVersion is the oldest
	// program that works with it. Changes only add, so minimumVersion stays.
	schemaVersion  = 1
	minimumVersion = 1

	// migrateMax bounds a migration whose context has no deadline. It may wait for
	// another migration, or create an index.
	migrateMax = 5 * time.Minute
)

// schemaName matches names that need no quotes. River prefixes its notification
// topics with the name, which leaves 46 characters.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,45}$`)

// validSchema returns a schema's name, or the default for "".
func validSchema(name string) (string, error) {
	switch {
	case name == "":
		return defaultSchema, nil
	case !schemaName.MatchString(name):
		return "", fmt.Errorf("schema %q is not 1 to 46 lower-case letters, digits and underscores with a letter or underscore first", name)
	case name == "public", name == "information_schema", strings.HasPrefix(name, "pg_"):
		return "", fmt.Errorf("schema %q is shared: choose a name for the outbox alone", name)
	}
	return name, nil
}

// in replaces {schema} in a statement by a schema's name.
func in(schema, text string) string {
	return strings.ReplaceAll(text, "{schema}", pgx.Identifier{schema}.Sanitize())
}

// Migrate creates or updates the schema and its tables, as [Open] does without
// NoMigrate. An empty name means "sparkloop". Migrate is safe to repeat, and in
// several processes at the same time. The role must own the schema or may create
// it. If the schema is up to date, the rights for Open are enough. If ctx has no
// deadline, Migrate takes at most 5 minutes.
func Migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	schema, err := validSchema(schema)
	if err != nil {
		return fmt.Errorf("sparkloop outbox: %w", err)
	}
	if pool == nil {
		return errors.New("sparkloop outbox: the pool is nil")
	}
	if err := migrate(ctx, db{pool: pool}, schema); err != nil {
		return fmt.Errorf("sparkloop outbox: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, d db, schema string) error {
	d.most = migrateMax
	d = d.called(ctx)
	for _, step := range steps(schema) {
		_, err := d.Exec(ctx, step)
		if err == nil {
			continue
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
			return fmt.Errorf("migrate schema %q: %w: let an administrator run the script of MigrationSQL, and set NoMigrate", schema, err)
		}
		return fmt.Errorf("migrate schema %q: %w", schema, err)
	}
	return nil
}

// MigrationSQL returns the statements of [Migrate] as a script for psql. Use it if
// only an administrator may create tables, and set [outbox.Options.NoMigrate]. The
// script ends with the GRANT statements for the application's role, commented out:
// fill in the role. The script is safe to repeat. The script of a newer version
// updates the tables.
//
// Each step is its own transaction: run psql without -1. MigrationSQL panics for a
// schema name that Open rejects.
func MigrationSQL(schema string) string {
	schema, err := validSchema(schema)
	if err != nil {
		panic("sparkloop outbox: " + err.Error())
	}
	var b strings.Builder
	for _, step := range steps(schema) {
		b.WriteString("BEGIN ISOLATION LEVEL READ COMMITTED;\n" + step + ";\nCOMMIT;\n\n")
	}
	b.WriteString("-- Rights for the application's role:\n")
	for _, grant := range grants(schema) {
		b.WriteString("-- " + grant + " TO your_role;\n")
	}
	return b.String()
}

// steps returns the statements of a migration. Each runs in its own transaction:
// a new value of an enum is usable only after a commit. Each takes a lock and
// checks whether it is still needed.
func steps(schema string) []string {
	steps := []string{step(schema, `
	IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '`+schema+`') THEN -- IF NOT EXISTS would need the right to create it
		CREATE SCHEMA {schema};
	END IF;`)}
	for _, m := range riverMigrations() {
		version, columns, values := strconv.Itoa(m.Version), "line, version", "'main', "
		if m.Version < 5 { // River's fifth migration adds the line
			columns, values = "version", ""
		}
		steps = append(steps, step(schema, `
	IF to_regclass('{schema}.river_migration') IS NOT NULL THEN
		EXECUTE 'SELECT EXISTS (SELECT FROM {schema}.river_migration WHERE version = `+version+`)' INTO done;
	END IF;
	IF NOT done THEN
		EXECUTE $river$
`+strings.ReplaceAll(m.SQLUp, "/* TEMPLATE: schema */", "{schema}.")+`
		$river$;
		INSERT INTO {schema}.river_migration (`+columns+`) VALUES (`+values+version+`);
	END IF;`))
	}
	return append(steps, step(schema, `
	IF to_regclass('{schema}.sparkloop_outbox') IS NULL THEN
		CREATE TABLE {schema}.sparkloop_outbox (
			id       boolean PRIMARY KEY DEFAULT true CHECK (id), -- one row
			version  integer NOT NULL,
			minimum  integer NOT NULL, -- the oldest version that works with this one
			revision bigint NOT NULL DEFAULT 0,
			state    text NOT NULL DEFAULT ''
		);
		INSERT INTO {schema}.sparkloop_outbox (version, minimum) VALUES (`+
		strconv.Itoa(schemaVersion)+`, `+strconv.Itoa(minimumVersion)+`);
	END IF;
	IF to_regclass('{schema}.sparkloop_swept') IS NULL THEN -- only for Stats: optional
		CREATE INDEX sparkloop_swept ON {schema}.river_job (id) WHERE metadata ? '`+sweptKey+`';
	END IF;`))
}

func step(schema, body string) string {
	hash := fnv.New64a()
	hash.Write([]byte("sparkloop outbox " + schema))
	return in(schema, `DO $sparkloop$
DECLARE
	done boolean := false;
BEGIN
	PERFORM pg_advisory_xact_lock(`+strconv.FormatInt(int64(hash.Sum64()), 10)+`);`+body+`
END
$sparkloop$`)
}

// riverMigrations returns the migrations of this program's version of River.
func riverMigrations() []rivermigrate.Migration {
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		panic(err) // fails only for an unknown line of migrations
	}
	return migrator.AllVersions()
}

// riverVersion returns the version of River's last migration.
func riverVersion() int {
	all := riverMigrations()
	return all[len(all)-1].Version
}

func grants(schema string) []string {
	all := []string{"GRANT USAGE ON SCHEMA {schema}"}
	for _, t := range tables {
		all = append(all, "GRANT "+strings.Join(t.rights, ", ")+" ON {schema}."+t.name)
	}
	all = append(all, "GRANT USAGE ON SEQUENCE {schema}."+sequence, "GRANT EXECUTE ON FUNCTION {schema}."+function)
	for i, grant := range all {
		all[i] = in(schema, grant)
	}
	return all
}
