package riveroutbox

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// settings makes the sessions of a pool begin with settings, as ALTER ROLE does.
func settings(mode pgx.QueryExecMode, kv ...string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) {
		c.ConnConfig.DefaultQueryExecMode = mode
		c.MaxConns = 4
		for i := 0; i < len(kv); i += 2 {
			c.ConnConfig.RuntimeParams[kv[i]] = kv[i+1]
		}
	}
}

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// TestSettings delivers in every query mode, under settings that a database or a
// role may have.
func TestSettings(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for name, kv := range map[string][]string{
			"style":       {"IntervalStyle", "sql_standard", "DateStyle", "ISO, DMY", "TimeZone", "Asia/Kathmandu", "extra_float_digits", "0"},
			"level":       {"default_transaction_isolation", "serializable", "lock_timeout", "5s"},
			"search path": {"search_path", "nowhere"},
			"empty path":  {"search_path", ""},
		} {
			t.Run(mode.String()+", "+name, func(t *testing.T) {
				t.Parallel()
				deliversAll(t, poolOn(t, pgtest.Shared(t).Database(t), settings(mode, kv...)))
			})
		}
	}
}

// deliversAll uses all methods of a queue on a pool.
func deliversAll(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick())
	yes, no := click(api), click(api)
	no.Submission = "unknown"
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return box.EnqueueTx(t.Context(), tx, yes) }))
	require.NoError(t, box.Enqueue(t.Context(), no))
	swept := mustSweep(t, box, 2, api)
	for _, confirmed := range append(swept, yes) {
		e := reaches(t, box, confirmed, outbox.Confirmed)
		assert.WithinDuration(t, time.Now(), e.FinishedAt, time.Minute)
	}
	reaches(t, box, no, outbox.Dead)
	s, err := box.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, s.Confirmed)
	assert.Equal(t, 3, s.ConfirmedByHour[23])
	n, err := box.RedriveAll(t.Context(), outbox.Dead)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	require.NoError(t, chores{box}.Tidy(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
}

func TestOpenRefusesSettingsByName(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	for _, mode := range modes {
		simple := mode == pgx.QueryExecModeSimpleProtocol
		text := mode == pgx.QueryExecModeExec || simple
		for _, one := range []struct {
			name, value string
			refused     bool
		}{
			{"DateStyle", "German, DMY", text},
			{"DateStyle", "SQL, MDY", text},
			{"bytea_output", "escape", text},
			{"standard_conforming_strings", "off", true},
			{"client_encoding", "LATIN1", simple},
		} {
			t.Run(mode.String()+", "+one.name+" "+one.value, func(t *testing.T) {
				t.Parallel()
				pool := poolOn(t, url, settings(mode, one.name, one.value))
				box, err := Open(t.Context(), pool, newAPI(t).Client(), quick(func(o *Options) {
					o.Schema = "s" + strings.ToLower(strings.NewReplacer(" ", "_", ",", "").Replace(mode.String() + one.name + one.value))[:20]
				}))
				if !one.refused {
					require.NoError(t, err)
					require.NoError(t, box.Close(t.Context()))
					return
				}
				require.ErrorContains(t, err, one.name)
			})
		}
	}
	_, err := Open(t.Context(), poolOn(t, url, settings(pgx.QueryExecModeExec, "DateStyle", "German", "bytea_output", "escape")), newAPI(t).Client(), quick())
	require.ErrorContains(t, err, `DateStyle is "German, DMY" and must be "ISO"`)
	require.ErrorContains(t, err, `bytea_output is "escape" and must be "hex"`, "all at once")
}

func TestOpenWarnsOfCommitsThatAreNotOnDisk(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	box := openBox(t, poolOn(t, pgtest.Shared(t).Database(t), settings(pgx.QueryExecModeCacheStatement, "synchronous_commit", "off")),
		newAPI(t).Client(), quick(enqueueOnly, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
	require.NotNil(t, box)
	assert.Contains(t, log.String(), "synchronous_commit=off")
}

func TestOpenRefusesRowLevelSecurity(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	admin := poolOn(t, url)
	require.NoError(t, Migrate(t.Context(), admin, ""))
	app := role(t, admin, url, "rls")
	for _, grant := range grants(defaultSchema) {
		exec(t, admin, grant+" TO "+app.Config().ConnConfig.User)
	}
	exec(t, admin, "ALTER TABLE {schema}.river_job ENABLE ROW LEVEL SECURITY")
	_, err := Open(t.Context(), app, newAPI(t).Client(), quick())
	require.ErrorContains(t, err, `row level security applies to the role`)
	require.ErrorContains(t, err, `ALTER TABLE "sparkloop".river_job DISABLE ROW LEVEL SECURITY`)
	exec(t, admin, "ALTER TABLE {schema}.river_job DISABLE ROW LEVEL SECURITY")
	openBox(t, app, newAPI(t).Client(), quick())
}

// TestOpenRehearses has faults that no list of settings and rights covers.
func TestOpenRehearses(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	require.NoError(t, Migrate(t.Context(), pool, ""))
	exec(t, pool, "ALTER TABLE {schema}.river_job ADD CONSTRAINT nothing_new CHECK (kind = 'x') NOT VALID")
	_, err := Open(t.Context(), pool, newAPI(t).Client(), quick())
	require.ErrorContains(t, err, "storing a conversion: ")
	require.ErrorContains(t, err, "nothing_new")
	exec(t, pool, "ALTER TABLE {schema}.river_job DROP CONSTRAINT nothing_new")
	exec(t, pool, "ALTER TABLE {schema}.river_job ADD CONSTRAINT no_end CHECK (finalized_at IS NULL) NOT VALID")
	_, err = Open(t.Context(), pool, newAPI(t).Client(), quick())
	require.ErrorContains(t, err, "writing an answer: ")
	exec(t, pool, "ALTER TABLE {schema}.river_job DROP CONSTRAINT no_end")
	box := openBox(t, pool, newAPI(t).Client(), quick(enqueueOnly))
	assert.Zero(t, one[int](t, pool, "SELECT count(*) FROM {schema}.river_job"))
	require.NoError(t, box.Enqueue(t.Context(), sparkloop.Tracking{Offer: "o", Submission: "s"}))
	assert.Equal(t, 1, one[int](t, pool, "SELECT id FROM {schema}.river_job"), "it takes no ID")
}

// poison are texts that a database's encoding, or jsonb, may not be able to store.
var poison = []string{"Submission isn’t known", "日本語 😀", "nul \x00 and \x1b[31m", "quote \" and \\ and \\u0000", "line\u2028separator \ufffe"}

// TestPoison has answers with texts that a database cannot store.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"UTF8", "LATIN1", "SQL_ASCII", "WIN1251", "EUC_JP"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			admin := newPool(t)
			name := "poison_" + strings.ToLower(encoding)
			_, err := admin.Exec(t.Context(), fmt.Sprintf("CREATE DATABASE %s ENCODING '%s' LOCALE 'C' TEMPLATE template0", name, encoding))
			require.NoError(t, err)
			config := admin.Config()
			url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", config.ConnConfig.Port, name)
			pool := poolOn(t, url)
			api := newAPI(t)
			box := openBox(t, pool, api.Client(), quick())
			first := click(api)
			require.NoError(t, box.Enqueue(t.Context(), first))
			reaches(t, box, first, outbox.Confirmed) // the address is proven
			for _, text := range poison {
				for _, status := range []int{422, 500} {
					api.Fail(sparklooptest.Status(status, fmt.Sprintf(`{"error":%s}`, jsonText(text))), 1)
					sad := click(api)
					require.NoError(t, box.Enqueue(t.Context(), sad))
					state := outbox.Dead
					if status == 500 {
						state = outbox.Confirmed // the second try succeeds
					}
					e := reaches(t, box, sad, state)
					if status == 422 {
						assert.Contains(t, e.Reason, strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == '\u2028' || r == '\ufffe' })[0])
					}
				}
			}
			for e, err := range box.List(t.Context(), outbox.Dead) {
				require.NoError(t, err)
				assert.NotContains(t, e.Reason, "cannot be read")
			}
			// A pause keeps the reason too.
			api.Fail(sparklooptest.Status(503, `{"error":"Ça n’est pas là"}`), 1000)
			for range 4 {
				require.NoError(t, box.Enqueue(t.Context(), click(api)))
			}
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				s, err := box.Stats(t.Context())
				require.NoError(c, err)
				require.Contains(c, s.PausedReason, "Ça n’est pas là")
			}, soonEnough, 50*time.Millisecond)
		})
	}
}

// TestPermanent has a database that rejects the answer to one conversion. It delays
// no other conversion, and is not sent again and again.
func TestPermanent(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(func(o *Options) { o.Workers, o.RetryMax = 1, time.Hour }))
	exec(t, pool, `ALTER TABLE {schema}.river_job ADD CONSTRAINT never CHECK (NOT (state = 'completed' AND args->>'submission' = 'poison'))`)
	bad, good := click(api), click(api)
	bad.Submission = "poison"
	api.Fail(sparklooptest.Status(200, `{"message":"Conversion tracked successfully"}`), 1)
	require.NoError(t, box.Enqueue(t.Context(), bad))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, "scheduled", one[string](c, pool, `SELECT state::text FROM {schema}.river_job`))
	}, soonEnough, 10*time.Millisecond)
	require.NoError(t, box.Enqueue(t.Context(), good))
	reaches(t, box, good, outbox.Confirmed)
	assert.Len(t, api.Requests(), 2)
	assert.Greater(t, one[float64](t, pool, `SELECT extract(epoch FROM scheduled_at - now())::float8 FROM {schema}.river_job WHERE id = 1`), 200.0)
}

// TestSweepBehindATransaction sweeps a conversion that a caller's open transaction
// has enqueued.
func TestSweepBehindATransaction(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(enqueueOnly))
	held, free := click(api), click(api)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, box.EnqueueTx(t.Context(), tx, held))
	n, err := chores{box}.Sweep(t.Context(), []sparkloop.Tracking{held, free}, 3)
	assert.Equal(t, 1, n, "the rest is swept")
	require.ErrorContains(t, err, held.Key()+": another transaction has enqueued this conversion and has neither committed nor rolled back")

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorContains(t, box.Enqueue(ctx, held), "another transaction has enqueued this conversion")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, box.Enqueue(t.Context(), held))
}
