package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// engine is a queue's location, and how a program opens it.
type engine struct {
	flags []string
	open  func(workers int) outbox.Queue
}

func quiet(workers int) outbox.Options {
	return outbox.Options{Workers: workers, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

// onBoth runs a test on a queue of each engine.
func onBoth(t *testing.T, test func(t *testing.T, d *desk, e engine)) {
	t.Helper()
	client := func(t *testing.T, d *desk) *sparkloop.Client {
		t.Helper()
		c, err := sparkloop.New(secret, append(d.opts, sparkloop.WithBaseURL(d.api.URL()))...)
		require.NoError(t, err)
		return c
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.env["SPARKLOOP_API_KEY"] = "" // not needed
		test(t, d, engine{
			flags: []string{"--sqlite", d.path("queue ?#%.db")},
			open: func(workers int) outbox.Queue {
				q, err := sqliteoutbox.Open(t.Context(), d.path("queue ?#%.db"), client(t, d), quiet(workers))
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, q.Close(context.Background())) })
				return q
			},
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.env["SPARKLOOP_API_KEY"] = ""
		address := pgtest.Shared(t).Database(t)
		test(t, d, engine{
			flags: []string{"--postgres", address, "--schema", "shop_outbox"},
			open: func(workers int) outbox.Queue {
				pool, err := pgxpool.New(t.Context(), address)
				require.NoError(t, err)
				t.Cleanup(pool.Close)
				q, err := riveroutbox.Open(t.Context(), pool, client(t, d), riveroutbox.Options{Options: quiet(workers), Schema: "shop_outbox"})
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, q.Close(context.Background())) })
				return q
			},
		})
	})
}

// queue runs a command of "sparkloop queue".
func (d *desk) queue(t *testing.T, e engine, args ...string) outcome {
	t.Helper()
	return d.run(t, append(append([]string{"queue"}, args...), e.flags...)...)
}

// filled returns a queue that a program has open: one conversion is confirmed,
// one dead.
func filled(t *testing.T, d *desk, e engine) (q outbox.Queue, good, bad sparkloop.Tracking) {
	t.Helper()
	q = e.open(1)
	good = clicks(d.api, 1)[0]
	bad = sparkloop.Tracking{Offer: offer, Submission: "unknown", CapturedAt: good.CapturedAt}
	require.NoError(t, q.Enqueue(t.Context(), good))
	require.NoError(t, q.Enqueue(t.Context(), bad))
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Confirmed == 1 && s.Dead == 1
	}, 30*time.Second, 10*time.Millisecond)
	return q, good, bad
}

func TestQueueStats(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *desk, e engine) {
		t.Helper()
		q := e.open(1)
		got := d.queue(t, e, "stats")
		assert.Equal(t, exitDone, got.code, got.err)
		assert.Equal(t, "pending    0\nconfirmed  0  0 in the last 24 hours\ndead       0\nexpired    0\nswept      0\n\nHealthy.\n", got.out)

		_, _, _ = filled(t, d, e)
		got = d.queue(t, e, "stats")
		assert.Equal(t, exitFailed, got.code)
		assert.Empty(t, got.err)
		assert.Contains(t, got.out, "confirmed  1  1 in the last 24 hours\n")
		assert.Contains(t, got.out, "dead       1  the last dead or expired one at 20")
		assert.Contains(t, got.out, "A conversion became dead or expired ")

		got = d.queue(t, e, "stats", "--output", "json")
		assert.Equal(t, exitFailed, got.code)
		var s struct {
			Healthy  bool
			Problems []string
			outbox.Stats
		}
		require.NoError(t, json.Unmarshal([]byte(got.out), &s))
		want, err := q.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want.Dead, s.Dead)
		assert.Equal(t, want.Confirmed, s.Confirmed)
		assert.Len(t, s.Problems, 1)
		assert.False(t, s.Healthy)
	})
}

// The command sends no request, so its API does not matter. The output names
// the rejected key of the delivering program.
func TestQueueStatsOfAProgramWithARejectedKey(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *desk, e engine) {
		t.Helper()
		q := e.open(1)
		d.env["SPARKLOOP_BASE_URL"] = ""
		got := d.queue(t, e, "stats")
		assert.Equal(t, exitDone, got.code, got.out)
		d.api.Fail(sparklooptest.Status(401, `{"error":"User not found!"}`), -1)
		require.NoError(t, q.Enqueue(t.Context(), clicks(d.api, 1)[0]))
		require.Eventually(t, func() bool {
			got = d.queue(t, e, "stats")
			return strings.Contains(got.out, outbox.KeyRejected)
		}, 30*time.Second, 50*time.Millisecond)
		assert.Equal(t, exitFailed, got.code)
	})
}

func TestQueueListShowAndExport(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *desk, e engine) {
		t.Helper()
		_, good, bad := filled(t, d, e)
		got := d.queue(t, e, "list", "dead")
		assert.Equal(t, exitDone, got.code, got.err)
		lines := strings.Split(got.out, "\n")
		assert.Regexp(t, `^ID +STATE +OFFER +SUBMISSION +ATTEMPTS +ENQUEUED +REASON$`, lines[0])
		assert.Regexp(t, `^\d+ +dead +offer_1234abcd +unknown +1 +20\S+Z +.*Submission not found`, lines[1])
		assert.Contains(t, got.out, "\n1 conversion\n")
		id := strings.Fields(lines[1])[0]

		for args, n := range map[string]int{"": 2, "pending": 0, "confirmed": 1, "dead confirmed": 2, "--limit 1 dead": 1} {
			got := d.queue(t, e, append(strings.Fields("list "+args), "-o", "csv")...)
			assert.Equal(t, exitDone, got.code, got.err)
			rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll()
			require.NoError(t, err)
			assert.Len(t, rows, 1+n, args)
			assert.Equal(t, []string{"id", "state", "offer", "submission", "captured_at", "attempts", "reason", "enqueued_at", "due_at", "finished_at"}, rows[0])
		}

		got = d.queue(t, e, "export")
		rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, []string{"confirmed", good.Offer, good.Submission, stamp(good.CapturedAt)}, rows[1][1:5])
		assert.Equal(t, []string{id, "dead", bad.Offer, bad.Submission}, rows[2][:4])
		got = d.queue(t, e, "export", "dead", "-o", "json")
		var records []record
		require.NoError(t, json.Unmarshal([]byte(got.out), &records))
		require.Len(t, records, 1)
		assert.Equal(t, bad.Submission, records[0].Submission)
		assert.Equal(t, 1, records[0].Attempts)
		assert.Equal(t, "[]\n", d.queue(t, e, "export", "expired", "-o", "json").out)

		for _, args := range [][]string{{"show", id}, {"show", bad.Offer, bad.Submission}} {
			got = d.queue(t, e, args...)
			assert.Equal(t, exitDone, got.code, got.err)
			assert.Contains(t, got.out, "ID          "+id+"\nstate       dead\noffer       offer_1234abcd\nsubmission  unknown\n")
			assert.Contains(t, got.out, "attempts    1\nreason ")
			got = d.queue(t, e, append(args, "-o", "json")...)
			var r record
			require.NoError(t, json.Unmarshal([]byte(got.out), &r))
			assert.Equal(t, records[0], r)
		}
		for _, args := range [][]string{{"show", "999999"}, {"show", offer, "other"}} {
			got = d.queue(t, e, args...)
			assert.Equal(t, exitFailed, got.code)
			assert.Contains(t, got.err, "is not in the queue")
		}
	})
}

// A program delivers the conversions that the command redrives.
func TestQueueRedriveBesideARunningProgram(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *desk, e engine) {
		t.Helper()
		q, _, bad := filled(t, d, e)
		entry, found, err := q.Lookup(t.Context(), bad)
		require.NoError(t, err)
		require.True(t, found)
		id := strconv.FormatInt(entry.ID, 10)

		got := d.queue(t, e, "redrive", id, "999999")
		assert.Equal(t, exitFailed, got.code)
		assert.Equal(t, "1 conversion set to pending\n", got.out)
		assert.Contains(t, got.err, "1 conversion not redriven")
		require.Eventually(t, func() bool { return asked(d.api)[bad.Key()] == 2 }, 30*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool {
			s, err := q.Stats(t.Context())
			return err == nil && s.Dead == 1
		}, 30*time.Second, 10*time.Millisecond)

		d.api.AddSubmission(sparklooptest.Submission{Tracking: bad})
		got = d.queue(t, e, "redrive", "--all", "dead")
		assert.Equal(t, outcome{exitDone, "1 conversion set to pending\n", ""}, got)
		require.Eventually(t, func() bool { return d.api.Confirmed(bad) }, 30*time.Second, 10*time.Millisecond)
		got = d.queue(t, e, "redrive", "--all", "expired")
		assert.Equal(t, outcome{exitDone, "0 conversions set to pending\n", ""}, got)
	})
}

// Commands that only read change no byte, and send no request.
func TestQueueCommandsThatReadChangeNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := d.path("q.db")
	client, err := sparkloop.New(secret, append(d.opts, sparkloop.WithBaseURL(d.api.URL()))...)
	require.NoError(t, err)
	q, err := sqliteoutbox.Open(t.Context(), file, client, quiet(-1))
	require.NoError(t, err)
	for _, tr := range clicks(d.api, 3) {
		require.NoError(t, q.Enqueue(t.Context(), tr))
	}
	require.NoError(t, q.Close(t.Context()))
	sum := func() [32]byte {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		return sha256.Sum256(data)
	}
	before := sum()
	for _, args := range [][]string{{"stats"}, {"list"}, {"show", "1"}, {"export"}} {
		got := d.run(t, append([]string{"queue", "--sqlite", file}, args...)...)
		assert.Equal(t, exitDone, got.code, got.err)
		assert.Equal(t, before, sum(), args)
	}
	assert.Empty(t, d.api.Requests())
	files, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	assert.Len(t, files, 1, "no file is left beside it")

	d.env["SPARKLOOP_BASE_URL"] = "https://another.example/api"
	got := d.run(t, "queue", "--sqlite", file, "stats")
	assert.Equal(t, exitDone, got.code, "it does not matter where a program delivers to: %s", got.err)
	assert.Equal(t, before, sum())
}

func TestQueueUsage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	text := d.write(t, "notes.txt", strings.Repeat("Dear diary. ", 200))
	empty := d.write(t, "empty.db", "")
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "give a command"},
		{"nonsense", exitUsage, "unknown command"},
		{"stats", exitUsage, "give --sqlite FILE or --postgres URL"},
		{"stats --sqlite a --postgres b", exitUsage, "none of the others can be"},
		{"stats --sqlite a --schema b", exitUsage, "none of the others can be"},
		{"stats --sqlite " + d.path("none.db"), exitUsage, "does not exist"},
		{"stats --sqlite " + d.dir, exitUsage, "is not a file"},
		{"stats --sqlite " + text, exitFailed, "not a database"},
		{"stats --sqlite " + empty, exitFailed, "the tables are missing"},
		{"stats -o csv --sqlite " + empty, exitUsage, "--output must be table or json"},
		{"list lost --sqlite " + empty, exitUsage, `"lost" is not a state: choose from pending, confirmed, dead, expired`},
		{"list --limit 0 --sqlite " + empty, exitUsage, "--limit must be"},
		{"list -o xml --sqlite " + empty, exitUsage, "--output must be table, json or csv"},
		{"export -o table --sqlite " + empty, exitUsage, "--output must be csv or json"},
		{"show --sqlite " + empty, exitUsage, "accepts between 1 and 2 arg(s)"},
		{"show x --sqlite " + empty, exitUsage, "is not a number"},
		{"show a/b c --sqlite " + empty, exitUsage, "invalid tracking"},
		{"redrive --sqlite " + empty, exitUsage, "give IDs, or --all dead"},
		{"redrive x --sqlite " + empty, exitUsage, "is not a number"},
		{"redrive 1 --all dead --sqlite " + empty, exitUsage, "not both"},
		{"redrive --all pending --sqlite " + empty, exitUsage, "--all must be dead or expired"},
		{"stats --postgres postgres://u:passw0rd@127.0.0.1:1/x?sslmode=nonsense", exitUsage, "--postgres: "},
		{"stats --postgres postgres://u:passw0rd@127.0.0.1:1/x", exitFailed, "127.0.0.1"},
		{"stats --postgres postgres://u:passw0rd@127.0.0.1:1/x --schema Public", exitFailed, "Schema"},
	} {
		got := d.run(t, append([]string{"queue"}, strings.Fields(tt.args)...)...)
		assert.Equal(t, tt.code, got.code, tt.args)
		assert.Contains(t, got.err, tt.says, tt.args)
		assert.Empty(t, got.out, tt.args)
		assert.NotContains(t, got.err, "passw0rd")
	}
	assert.NoFileExists(t, d.path("none.db"))
	assert.Empty(t, d.read(t, "empty.db"))
}

func TestSchemaPostgres(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	got := d.run(t, "schema", "postgres")
	assert.Equal(t, outcome{exitDone, riveroutbox.MigrationSQL(""), ""}, got)
	got = d.run(t, "schema", "postgres", "--schema", "shop")
	assert.Equal(t, riveroutbox.MigrationSQL("shop"), got.out)
	assert.Contains(t, got.out, `"shop"`)
	for _, name := range []string{"public", "Shop", "a;b"} {
		got = d.run(t, "schema", "postgres", "--schema", name)
		assert.Equal(t, exitUsage, got.code)
		assert.Contains(t, got.err, "--schema: ")
		assert.Empty(t, got.out)
	}
	got = d.run(t, "schema")
	assert.Equal(t, exitUsage, got.code)
	var stderr bytes.Buffer
	a := &app{getenv: os.Getenv, out: full{}, err: &stderr}
	assert.Equal(t, exitFailed, run(t.Context(), []string{"schema", "postgres"}, a))
	assert.Equal(t, "sparkloop: disk full\n", stderr.String())
}
