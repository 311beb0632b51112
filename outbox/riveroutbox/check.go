package riveroutbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

// table is a table of the outbox, with the rights that the outbox needs.
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
	function = "river_job_state_in_bitmask" // in the unique index; callable by all roles, except in a hardened database
)

const migrateHint = "run Migrate, or the script of MigrationSQL"

// check returns an error for whatever would fail an order's EnqueueTx later.
func (o *Outbox) check(ctx context.Context) error {
	var role string
	var exists, usable bool
	err := o.db.scan(ctx, []any{&role, &exists, &usable}, `
		SELECT current_user::text, oid IS NOT NULL, coalesce(has_schema_privilege(oid, 'USAGE'), false)
		FROM (SELECT) AS one LEFT JOIN pg_namespace ON nspname = $1::text`, o.schema)
	switch {
	case err != nil:
		return err
	case !exists:
		return fmt.Errorf("there is no schema %q: %s", o.schema, migrateHint)
	}
	var lacking []string
	if !usable {
		lacking = append(lacking, "USAGE ON SCHEMA {schema}")
	}
	more, err := o.lacking(ctx)
	if err != nil {
		return err
	}
	if lacking = append(lacking, more...); len(lacking) > 0 {
		for i, right := range lacking {
			lacking[i] = in(o.schema, "GRANT "+right+" TO "+pgx.Identifier{role}.Sanitize())
		}
		noun := "a right"
		if len(lacking) > 1 {
			noun = "rights"
		}
		return fmt.Errorf("the role %q lacks %s: %s", role, noun, strings.Join(lacking, "; "))
	}
	if err := o.checkRows(ctx, role); err != nil {
		return err
	}
	if err := o.checkVersions(ctx); err != nil {
		return err
	}
	return o.rehearse(ctx)
}

// lacking returns the role's missing rights to the tables, the sequence and the
// function.
func (o *Outbox) lacking(ctx context.Context) (all []string, err error) {
	for _, t := range tables {
		var exists bool
		var rights []string
		err := o.db.scan(ctx, []any{&exists, &rights}, `
			SELECT count(oid) > 0, coalesce(array_agg(r) FILTER (WHERE NOT has_table_privilege(oid, r)), '{}')
			FROM unnest($3::text[]) AS r LEFT JOIN pg_class
				ON relname = $2::text AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1::text)`,
			o.schema, t.name, t.rights)
		switch {
		case err != nil:
			return nil, err
		case !exists:
			return nil, fmt.Errorf("there is no table %s.%s: %s", o.schema, t.name, migrateHint)
		case len(rights) > 0:
			all = append(all, strings.Join(rights, ", ")+" ON {schema}."+t.name)
		}
	}
	var usable, callable bool // old versions of River lack the function: see checkVersions
	err = o.db.scan(ctx, []any{&usable, &callable}, `
		SELECT coalesce((SELECT has_sequence_privilege(c.oid, 'USAGE') FROM pg_class AS c
				WHERE c.relname = $1::text AND c.relnamespace = n.oid), true),
			coalesce((SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc AS p
				WHERE p.proname = $2::text AND p.pronamespace = n.oid), true)
		FROM pg_namespace AS n WHERE n.nspname = $3::text`, sequence, function, o.schema)
	if !usable {
		all = append(all, "USAGE ON SEQUENCE {schema}."+sequence)
	}
	if !callable {
		all = append(all, "EXECUTE ON FUNCTION {schema}."+function)
	}
	return all, err
}

// checkRows returns an error for row level security, which hides and rejects rows.
func (o *Outbox) checkRows(ctx context.Context, role string) error {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.name
	}
	var hidden []string
	err := o.db.scan(ctx, []any{&hidden}, `
		SELECT coalesce(array_agg(relname::text ORDER BY relname), '{}') FROM pg_class
		WHERE relname = ANY ($2::text[]) AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1::text)
			AND row_security_active(oid)`, o.schema, names)
	if err != nil || len(hidden) == 0 {
		return err
	}
	for i, name := range hidden {
		hidden[i] = in(o.schema, "ALTER TABLE {schema}."+name+" DISABLE ROW LEVEL SECURITY")
	}
	return fmt.Errorf("row level security applies to the role %q: %s; or ALTER ROLE %s BYPASSRLS",
		role, strings.Join(hidden, "; "), pgx.Identifier{role}.Sanitize())
}

func (o *Outbox) checkVersions(ctx context.Context) error {
	var river, version, minimum int
	err := o.db.scan(ctx, []any{&river, &version, &minimum}, in(o.schema, `
		SELECT coalesce((SELECT max(version) FROM {schema}.river_migration WHERE line = 'main'), 0), version, minimum
		FROM {schema}.sparkloop_outbox`))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s.sparkloop_outbox is empty: drop it, and %s", o.schema, migrateHint)
	case err != nil:
		return err
	case minimum > schemaVersion:
		return fmt.Errorf("the tables in schema %q need a program of version %d or later; this program has version %d: update it", o.schema, minimum, schemaVersion)
	case version < schemaVersion:
		return fmt.Errorf("the tables in schema %q have version %d, this program needs %d: %s", o.schema, version, schemaVersion, migrateHint)
	case river < riverVersion():
		return fmt.Errorf("the tables of River in schema %q have version %d, this program needs %d: %s", o.schema, river, riverVersion(), migrateHint)
	}
	return nil
}

// rehearse stores a conversion, reads it as River does, writes an answer, and
// rolls everything back. It finds faults that no list of settings and rights
// covers: a trigger, a constraint, a type that the pool's connections decode
// differently.
func (o *Outbox) rehearse(ctx context.Context) error {
	err := o.rehearseOnce(ctx)
	if code := sqlState(err); ctx.Err() == nil && code != "" && !permanent(err) && !strings.HasPrefix(code, "P0") {
		return nil // such as a full disk: delivery begins when it is over
	}
	return err
}

func (o *Outbox) rehearseOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	tx, err := o.db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // the pool closes a connection that is still in a transaction
	// An own ID takes no number from the sequence.
	id := -1 - rand.Int64N(1<<53)
	t := sparkloop.Tracking{Offer: "offer", Submission: fmt.Sprintf("rehearsal%d", id), CapturedAt: time.Unix(0, 0)}
	numbered := strings.NewReplacer("(args,", "(id, args,", "VALUES (", fmt.Sprintf("VALUES (%d, ", id)).Replace(insert)
	if _, err := o.insert(ctx, tx, numbered, t, "{}", delivery.LaneFresh); err != nil {
		return fmt.Errorf("storing a conversion: %w", err)
	}
	job, err := riverpgxv5.New(o.db.pool).UnwrapExecutor(tx).JobGetByID(ctx, &riverdriver.JobGetByIDParams{ID: id, Schema: o.schema})
	if err != nil {
		return fmt.Errorf("reading a conversion: %w", err)
	}
	if string(job.UniqueKey) != t.Key() {
		return errors.New("reading a conversion: the pool's connections decode bytea to a different value")
	}
	args, err := finishArgs(outbox.Entry{ID: id, Tracking: t, State: outbox.Dead, FinishedAt: time.Unix(0, 0)})
	if err == nil {
		_, err = tx.Exec(ctx, o.statement(finish), args...)
	}
	if err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}
