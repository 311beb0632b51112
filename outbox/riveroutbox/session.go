package riveroutbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// required are the settings that a session needs. All other settings either do not
// matter or are set by the outbox. modes are the query modes of pgx that need the
// setting; nil means all.
var required = []struct {
	name, want, why string
	modes           []pgx.QueryExecMode
}{
	{"standard_conforming_strings", "on", "the outbox and pgx rely on it", nil},
	{"client_encoding", "UTF8", "pgx needs it in this query mode", []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol}},
	{"DateStyle", "ISO", "pgx decodes only this style in this query mode", asText},
	{"bytea_output", "hex", "pgx decodes only this format in this query mode", asText},
}

// asText are the query modes in which pgx decodes times and bytes from text.
var asText = []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}

// checkSession returns an error for settings with which delivery would fail. It
// logs a warning for settings with which a stored conversion may be lost.
func (o *Outbox) checkSession(ctx context.Context) error {
	if err := o.checkPooler(ctx); err != nil {
		return err
	}
	names := []string{"transaction_read_only", "synchronous_commit", "fsync"}
	for _, r := range required {
		names = append(names, r.name)
	}
	type setting struct{ Name, Value string }
	all, err := collect(ctx, o.db, pgx.RowToStructByPos[setting],
		`SELECT name, current_setting(name) FROM unnest($1::text[]) AS name`, names)
	if err != nil {
		return err
	}
	values := make(map[string]string, len(all))
	for _, s := range all {
		values[s.Name] = s.Value
	}
	if values["transaction_read_only"] == "on" {
		return errors.New("the database is read-only: it is a replica, or set to read-only")
	}
	mode := o.db.pool.Config().ConnConfig.DefaultQueryExecMode
	var wrong []string
	for _, r := range required {
		v, _, _ := strings.Cut(values[r.name], ",") // DateStyle has two parts
		if v != r.want && (r.modes == nil || slices.Contains(r.modes, mode)) {
			wrong = append(wrong, fmt.Sprintf("%s is %q and must be %q, because %s", r.name, values[r.name], r.want, r.why))
		}
	}
	if wrong != nil {
		return fmt.Errorf("the session's settings: %s; set them in the connection string, or with ALTER ROLE ... SET", strings.Join(wrong, "; "))
	}
	for _, name := range []string{"synchronous_commit", "fsync"} {
		if values[name] == "off" {
			o.o.Logger.WarnContext(ctx, "sparkloop outbox: after a crash of PostgreSQL, stored conversions may be missing",
				slog.String(name, "off"))
		}
	}
	return nil
}

// errPooler is the error of checkPooler.
var errPooler = errors.New("the connection pooler (PgBouncer or the like) loses pgx's prepared statements: " +
	"add default_query_exec_mode=exec to the connection string, or set PgBouncer's max_prepared_statements (from 1.21 on)")

// checkPooler tests pgx's query mode behind a pooler, which may give each
// transaction another server process. Two connections run the same statement. In
// one server process, both prepare it under the same name; in two, the second
// process lacks it.
func (o *Outbox) checkPooler(ctx context.Context) error {
	switch mode := o.db.pool.Config().ConnConfig.DefaultQueryExecMode; {
	case slices.Contains(asText, mode), o.db.pool.Config().MaxConns < 2:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	first, err := o.db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer first.Release()
	server, err := backend(ctx, first)
	switch {
	case err != nil:
		return explained(err)
	case server == first.Conn().PgConn().PID():
		return nil // no pooler: a pooler has its own numbers
	}
	soon, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	second, err := o.db.pool.Acquire(soon)
	if err != nil {
		return ctx.Err() // the application uses all other connections
	}
	defer second.Release()
	for range 5 {
		tx, err := second.Begin(ctx)
		if err != nil {
			return explained(err)
		}
		if _, err = backend(ctx, tx); err == nil {
			// If this statement must wait, the pooler has one server process,
			// and both connections have prepared the statement there.
			waits, end := context.WithTimeout(ctx, time.Second)
			_, err = backend(waits, first)
			if waits.Err() != nil {
				err = nil
			}
			end()
		}
		if undo := tx.Rollback(ctx); err == nil && !errors.Is(undo, pgx.ErrTxClosed) {
			err = undo
		}
		if err != nil {
			return explained(err)
		}
		if first.Conn().IsClosed() {
			return nil
		}
	}
	return nil
}

// backend returns the number of the server process. pgx prepares the statement in
// its default mode.
func backend(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (pid uint32, err error) {
	var n int64
	err = q.QueryRow(ctx, "SELECT pg_backend_pid()::bigint + $1::bigint", 0).Scan(&n)
	return uint32(n), err
}

// explained adds errPooler to an error of a prepared statement.
func explained(err error) error {
	switch sqlState(err) {
	case "26000", "42P05", "08P01": // unknown statement, duplicate statement, unsupported protocol
		return fmt.Errorf("%w: %w", errPooler, err)
	}
	return err
}
