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

// required are the settings that the session needs. The outbox works with all
// others, or states them itself. modes are the query modes of pgx that need the
// setting; nil: all.
var required = []struct {
	name, want, why string
	modes           []pgx.QueryExecMode
}{
	{"standard_conforming_strings", "on", "the outbox and pgx write SQL for it", nil},
	{"client_encoding", "UTF8", "pgx needs it in this query mode", []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol}},
	{"DateStyle", "ISO", "pgx reads no other style in this query mode", asText},
	{"bytea_output", "hex", "pgx reads no other format in this query mode", asText},
}

// asText are the query modes in which pgx reads times and bytes as text.
var asText = []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}

// checkSession refuses, by name, a session in which delivery would fail, and
// warns of one in which an acknowledged conversion may be lost.
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
		return errors.New("the database takes no writes: it is a replica, or read-only by its settings")
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
			o.o.Logger.WarnContext(ctx, "sparkloop outbox: after a crash of PostgreSQL, conversions that Enqueue has acknowledged may be missing",
				slog.String(name, "off"))
		}
	}
	return nil
}

// errPooler is the error of checkPooler.
var errPooler = errors.New("the connection pooler (PgBouncer or the like) loses pgx's prepared statements: " +
	"add default_query_exec_mode=exec to the connection string, or set PgBouncer's max_prepared_statements (from 1.21 on)")

// checkPooler tries pgx's query mode where a pooler may give each transaction
// another server process. Two connections run the same statement: in one
// server process, both prepare it under the same name, and in two, the second one lacks it.
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
		return nil // no pooler, which has numbers of its own
	}
	soon, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	second, err := o.db.pool.Acquire(soon)
	if err != nil {
		return ctx.Err() // the application uses all others
	}
	defer second.Release()
	for range 5 {
		tx, err := second.Begin(ctx)
		if err != nil {
			return explained(err)
		}
		if _, err = backend(ctx, tx); err == nil {
			// The pooler has one server process if this one must wait. Then
			// the statement was just prepared there by both.
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

// backend returns the number of the server process, by a statement that is
// prepared in pgx's default mode.
func backend(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (pid uint32, err error) {
	var n int64
	err = q.QueryRow(ctx, "SELECT pg_backend_pid()::bigint + $1::bigint", 0).Scan(&n)
	return uint32(n), err
}

// explained adds what to do about an error of a prepared statement.
func explained(err error) error {
	switch sqlState(err) {
	case "26000", "42P05", "08P01": // unknown, known already, or a protocol that is not passed on
		return fmt.Errorf("%w: %w", errPooler, err)
	}
	return err
}
