package riveroutbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func TestMigrateFromSeveralProcesses(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	errs := make(chan error)
	const processes = 6
	for range processes {
		go func() { errs <- Migrate(t.Context(), pool, "") }()
	}
	for range processes {
		assert.NoError(t, <-errs)
	}
	assert.Equal(t, riverVersion(), one[int](t, pool, `SELECT count(*) FROM {schema}.river_migration`))
	assert.Equal(t, schemaVersion, one[int](t, pool, `SELECT version FROM {schema}.sparkloop_outbox`))
	require.NoError(t, Migrate(t.Context(), pool, ""), "safe to repeat")
	require.NoError(t, Migrate(t.Context(), pool, "another_one"))
	openBox(t, pool, newAPI(t).Client(), quick(func(o *Options) { o.NoMigrate, o.Schema = true, "another_one" }))
}

func TestMigrateFromAnEarlierRiver(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	const done = 5 // the schema, and four migrations of River
	for _, step := range steps(defaultSchema)[:done] {
		exec(t, pool, step)
	}
	_, err := Open(t.Context(), pool, newAPI(t).Client(), quick(func(o *Options) { o.NoMigrate = true }))
	require.ErrorContains(t, err, "there is no table sparkloop.sparkloop_outbox: run Migrate, or the script of MigrationSQL")
	openBox(t, pool, newAPI(t).Client(), quick())
}

// role creates a role that may only log in, and returns a pool for it.
func role(t *testing.T, admin *pgxpool.Pool, url, name string) *pgxpool.Pool {
	t.Helper()
	name += "_" + admin.Config().ConnConfig.Database // roles belong to the cluster, not to a database
	exec(t, admin, "CREATE ROLE "+name+" LOGIN")
	return poolOn(t, url, func(c *pgxpool.Config) { c.ConnConfig.User = name })
}

// runScript runs a script as psql -f does.
func runScript(t *testing.T, pool *pgxpool.Pool, script string) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Conn().PgConn().Exec(t.Context(), script).ReadAll()
	require.NoError(t, err)
}

func TestMigrationSQLInALockedDownDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	admin := poolOn(t, url)
	exec(t, admin, "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
	exec(t, admin, "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC")
	app := role(t, admin, url, "app")
	api := newAPI(t)

	_, err := Open(t.Context(), app, api.Client(), quick())
	require.ErrorContains(t, err, "permission denied")
	require.ErrorContains(t, err, "let an administrator run the script of MigrationSQL, and set NoMigrate")
	noMigrate := quick(func(o *Options) { o.NoMigrate = true })
	_, err = Open(t.Context(), app, api.Client(), noMigrate)
	require.ErrorContains(t, err, `there is no schema "sparkloop": run Migrate, or the script of MigrationSQL`)

	script := MigrationSQL("")
	runScript(t, admin, script)
	runScript(t, admin, script) // safe to repeat
	_, err = Open(t.Context(), app, api.Client(), noMigrate)
	require.ErrorContains(t, err, `GRANT USAGE ON SCHEMA "sparkloop" TO "app_`)

	// The error lists all missing rights. With the last right, Open succeeds.
	_, rights, ok := strings.Cut(script, "-- Rights for the application's role:\n")
	require.True(t, ok)
	user := app.Config().ConnConfig.User
	var all []string
	for line := range strings.Lines(rights) {
		all = append(all, strings.TrimSuffix(strings.Replace(strings.TrimPrefix(line, "-- "), "your_role", `"`+user+`"`, 1), ";\n"))
	}
	for i, grant := range all {
		_, err = Open(t.Context(), app, api.Client(), noMigrate)
		noun := "rights"
		if i == len(all)-1 {
			noun = "a right"
		}
		require.EqualError(t, err, fmt.Sprintf("sparkloop outbox: open: the role %q lacks %s: %s", user, noun, strings.Join(all[i:], "; ")))
		exec(t, admin, grant)
	}
	box := openBox(t, app, api.Client(), noMigrate)
	tracking, dead := click(api), click(api)
	dead.Submission = "unknown"
	require.NoError(t, pgx.BeginFunc(t.Context(), app, func(tx pgx.Tx) error { return box.EnqueueTx(t.Context(), tx, tracking) }))
	require.NoError(t, box.Enqueue(t.Context(), dead))
	reaches(t, box, tracking, outbox.Confirmed)
	reaches(t, box, dead, outbox.Dead)
	_, err = box.Stats(t.Context())
	require.NoError(t, err)
	_, err = box.RedriveAll(t.Context(), outbox.Dead)
	require.NoError(t, err)
	for _, swept := range mustSweep(t, box, 2, api) {
		reaches(t, box, swept, outbox.Confirmed)
	}
	require.NoError(t, errors.Join(box.sort(t.Context()), box.rescue(t.Context()), box.wakeOffer(t.Context(), "offer_x")))
	require.NoError(t, chores{box}.Tidy(t.Context(), time.Now(), time.Now()))
	openBox(t, app, api.Client(), quick()) // there is nothing to migrate
}

func TestMigrationSQLByPsqlsRules(t *testing.T) {
	t.Parallel()
	assert.PanicsWithValue(t, `sparkloop outbox: schema "public" is shared: choose a name for the outbox alone`,
		func() { MigrationSQL("public") })
	script := MigrationSQL("shop_outbox")
	assert.NotContains(t, script, "TEMPLATE")
	assert.NotContains(t, script, defaultSchema+".", "another schema")
	assert.Equal(t, strings.Count(script, "BEGIN ISOLATION LEVEL READ COMMITTED;\n"), strings.Count(script, "COMMIT;\n"))
}

func TestOlderAndNewerTables(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	client := newAPI(t).Client()
	require.NoError(t, Migrate(t.Context(), pool, ""))

	exec(t, pool, `UPDATE {schema}.sparkloop_outbox SET version = 7`)
	exec(t, pool, `ALTER TABLE {schema}.sparkloop_outbox ADD COLUMN of_version_seven text`)
	exec(t, pool, `INSERT INTO {schema}.river_migration (line, version) VALUES ('main', 99)`)
	openBox(t, pool, client, quick())
	assert.Equal(t, 7, one[int](t, pool, `SELECT version FROM {schema}.sparkloop_outbox`))

	exec(t, pool, `UPDATE {schema}.sparkloop_outbox SET minimum = 2`)
	_, err := Open(t.Context(), pool, client, quick())
	require.EqualError(t, err, `sparkloop outbox: open: the tables in schema "sparkloop" need a program of version 2 or later; this program has version 1: update it`)

	exec(t, pool, `UPDATE {schema}.sparkloop_outbox SET minimum = 0, version = 0`)
	_, err = Open(t.Context(), pool, client, quick())
	require.ErrorContains(t, err, "have version 0, this program needs 1: run Migrate")

	exec(t, pool, `UPDATE {schema}.sparkloop_outbox SET version = 1`)
	exec(t, pool, `DELETE FROM {schema}.river_migration WHERE version > 7`)
	_, err = Open(t.Context(), pool, client, quick(func(o *Options) { o.NoMigrate = true }))
	require.ErrorContains(t, err, `the tables of River in schema "sparkloop" have version 7, this program needs 8: run Migrate`)

	exec(t, pool, `DELETE FROM {schema}.sparkloop_outbox`)
	_, err = Open(t.Context(), pool, client, quick())
	require.ErrorContains(t, err, "sparkloop.sparkloop_outbox is empty")
}

func TestSchemaNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "_", "shop_2", "user", strings.Repeat("x", 46)} {
		got, err := validSchema(name)
		require.NoError(t, err, name)
		assert.Equal(t, name, got)
	}
	for _, name := range []string{"2nd", "Shop", "shop-1", "a b", `a"; DROP TABLE orders; --`, "ö", "a\n", strings.Repeat("x", 47)} {
		_, err := validSchema(name)
		assert.ErrorContains(t, err, "is not 1 to 46 lower-case letters", name)
	}
	for _, name := range []string{"public", "pg_catalog", "pg_x", "information_schema"} {
		_, err := validSchema(name)
		assert.ErrorContains(t, err, "is shared: choose a name for the outbox alone", name)
	}
	_, err := Open(t.Context(), &pgxpool.Pool{}, nil, Options{Schema: "public"})
	require.ErrorContains(t, err, `sparkloop outbox: open: riveroutbox.Options.Schema: schema "public"`)
	require.ErrorContains(t, Migrate(t.Context(), &pgxpool.Pool{}, "no way"), "sparkloop outbox: schema")
	require.ErrorContains(t, Migrate(t.Context(), nil, ""), "the pool is nil")
}

// TestSchemaThatIsAWord uses a name that must be quoted everywhere, also in River's
// statements.
func TestSchemaThatIsAWord(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	api := newAPI(t)
	box := openBox(t, pool, api.Client(), quick(func(o *Options) { o.Schema = "user" }))
	tracking := click(api)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return box.EnqueueTx(t.Context(), tx, tracking) }))
	reaches(t, box, tracking, outbox.Confirmed)
}
