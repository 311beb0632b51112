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

	// schemaVersion is that of our own table, and minimumVersion the oldest
	// program that can work with it. Changes only add, so the latter stays.
	schemaVersion  = 1
	minimumVersion = 1

	// migrateMax bounds a migration whose context has no deadline: it may have
	// to wait for another one, or to make an index.
	migrateMax = 5 * time.Minute
)

// schemaName is what needs no quotes anywhere. River puts the name in front of
// its notification topics, which leaves 46 characters.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,45}$`)

// validSchema is a schema's name, or the default one for "".
func validSchema(name string) (string, error) {
	switch {
	case name == "":
		return defaultSchema, nil
	case !schemaName.MatchString(name):
		return "", fmt.Errorf("schema %q is not 1 to 46 lower-case letters, digits and underscores with a letter or underscore first", name)
	case name == "public", name == "information_schema", strings.HasPrefix(name, "pg_"):
		return "", fmt.Errorf("schema %q is not for the outbox alone: choose another name", name)
	}
	return name, nil
}

// in puts a schema's name where the text of a statement has {schema}.
func in(schema, text string) string {
	return strings.ReplaceAll(text, "{schema}", pgx.Identifier{schema}.Sanitize())
}

// Migrate makes the schema ("" is "sparkloop") and its tables, or brings them up
// to date, as [Open] does unless told otherwise. It is safe to repeat, and in
// several processes at once. The role must be allowed to create the schema, or
// must own it; where there is nothing to do, the rights that Open needs are enough.
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
			return fmt.Errorf("migrate schema %q: %w: have an administrator run what MigrationSQL returns, and set NoMigrate", schema, err)
		}
		return fmt.Errorf("migrate schema %q: %w", schema, err)
	}
	return nil
}

// MigrationSQL is what [Migrate] does, as a script for psql: for a database in
// which only an administrator may create tables. Set [outbox.Options.NoMigrate]
// then. At its end are the rights that the application's role needs, commented
// out: fill in the role. It is safe to repeat, and a newer version's script
// brings the tables up to date.
//
// Each step is a transaction of its own, so leave out psql's -1. For a schema
// that Open refuses it panics.
func MigrationSQL(schema string) string {
	schema, err := validSchema(schema)
	if err != nil {
		panic("sparkloop outbox: " + err.Error())
	}
	var b strings.Builder
	for _, step := range steps(schema) {
		b.WriteString("BEGIN ISOLATION LEVEL READ COMMITTED;\n" + step + ";\nCOMMIT;\n\n")
	}
	b.WriteString("-- What the role of the application needs:\n")
	for _, grant := range grants(schema) {
		b.WriteString("-- " + grant + " TO your_role;\n")
	}
	return b.String()
}

// steps are statements that are to run one after the other, each by itself:
// PostgreSQL takes a new value of an enum only after a commit. Each holds a lock
// and looks whether it is still to be done.
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
			minimum  integer NOT NULL, -- the oldest version that can work with this one
			revision bigint NOT NULL DEFAULT 0,
			state    text NOT NULL DEFAULT ''
		);
		INSERT INTO {schema}.sparkloop_outbox (version, minimum) VALUES (`+
		strconv.Itoa(schemaVersion)+`, `+strconv.Itoa(minimumVersion)+`);
	END IF;
	IF to_regclass('{schema}.sparkloop_swept') IS NULL THEN -- for Stats alone, so no program needs it
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

// riverMigrations are those of the River that this program was built with.
func riverMigrations() []rivermigrate.Migration {
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		panic(err) // it fails only for a line of migrations that the driver does not have
	}
	return migrator.AllVersions()
}

// riverVersion is the last of River's migrations.
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
