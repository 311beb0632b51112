package riveroutbox

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// sizes are numbers of conversions in a queue. Every tenth conversion is pending.
// The rest were confirmed over the last 60 days.
var sizes = []struct {
	name          string
	rows, pending int
}{{"empty", 0, 0}, {"million", 1_000_000, 100_000}}

// filled opens a queue that only enqueues, on a database with a number of rows.
func filled(b *testing.B, rows, pending int) *Outbox {
	b.Helper()
	pool, err := pgxpool.New(b.Context(), pgtest.Shared(b).Database(b))
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	q, err := Open(b.Context(), pool, sparklooptest.NewServer(b).Client(), quick(enqueueOnly))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, q.Close(context.Background())) })
	if rows == 0 {
		return q
	}
	_, err = pool.Exec(b.Context(), in(q.schema, `
		INSERT INTO {schema}.river_job
			(args, created_at, kind, max_attempts, metadata, queue, scheduled_at, state, finalized_at, unique_key, unique_states)
		SELECT jsonb_build_object('offer', 'offer_1234abcd', 'submission', id), now() - interval '1 hour', '`+kind+`', 32767, '{}', '`+queue+`',
			now() - interval '1 hour' + i * interval '1 ms',
			(CASE WHEN i % $2 = 0 THEN 'available' ELSE 'completed' END)::{schema}.river_job_state,
			CASE WHEN i % $2 = 0 THEN NULL ELSE now() - ($1 - i) * interval '5.184 s' END,
			convert_to('offer_1234abcd/' || id, 'UTF8'), B'11111111'
		FROM (SELECT i, 'submission_' || md5(i::text) AS id FROM generate_series(1, $1::int) AS i) AS n`), rows, rows/pending)
	require.NoError(b, err)
	for _, settle := range []string{"VACUUM ANALYZE {schema}.river_job", "CHECKPOINT"} {
		_, err = pool.Exec(b.Context(), in(q.schema, settle))
		require.NoError(b, err)
	}
	return q
}

func benchTracking(n int) sparkloop.Tracking {
	return sparkloop.Tracking{Offer: "offer_1234abcd", Submission: fmt.Sprintf("submission_bench_%08x", n), CapturedAt: time.Now()}
}

// report reports the median and the 99th percentile of a step's durations.
func report(b *testing.B, took []time.Duration, name string) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), name+"p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), name+"p99-µs")
}

func BenchmarkEnqueue(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			q := filled(b, size.rows, size.pending)
			var took []time.Duration
			for n := 0; b.Loop(); n++ {
				began := time.Now()
				if err := q.Enqueue(b.Context(), benchTracking(n)); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			report(b, took, "")
		})
	}
}

// BenchmarkEnqueueTx compares an order's transaction with a conversion and without,
// alternately.
func BenchmarkEnqueueTx(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			q := filled(b, size.rows, size.pending)
			_, err := q.db.pool.Exec(b.Context(), "CREATE TABLE orders (id bigserial PRIMARY KEY, tracking text)")
			require.NoError(b, err)
			order := func(n int, enqueue bool) time.Duration {
				began := time.Now()
				tx, err := q.db.pool.Begin(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				t := benchTracking(n)
				if _, err := tx.Exec(b.Context(), "INSERT INTO orders (tracking) VALUES ($1)", t); err != nil {
					b.Fatal(err)
				}
				if enqueue {
					if err := q.EnqueueTx(b.Context(), tx, t); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(b.Context()); err != nil {
					b.Fatal(err)
				}
				return time.Since(began)
			}
			var without, with []time.Duration
			for n := 0; b.Loop(); n++ {
				without = append(without, order(n, false))
				with = append(with, order(n, true))
			}
			report(b, without, "order-")
			report(b, with, "both-")
			b.ReportMetric(float64((with[len(with)/2] - without[len(without)/2]).Microseconds()), "added-p50-µs")
		})
	}
}

// BenchmarkClaim claims a conversion as River does and stores its confirmation,
// without the call in between.
func BenchmarkClaim(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			q := filled(b, size.rows, size.pending)
			river := riverpgxv5.New(q.db.pool).GetExecutor()
			var claim, record []time.Duration
			for n := 0; b.Loop(); n++ {
				if size.rows == 0 {
					if err := q.Enqueue(b.Context(), benchTracking(n)); err != nil {
						b.Fatal(err)
					}
				}
				began := time.Now()
				taken, err := river.JobGetAvailable(b.Context(), &riverdriver.JobGetAvailableParams{
					ClientID: "bench", Kind: []string{kind}, MaxAttemptedBy: 100, MaxToLock: 1, Queue: queue, Schema: q.schema,
				})
				if err != nil || len(taken.Jobs) != 1 {
					b.Fatal(taken, err)
				}
				claim = append(claim, time.Since(began))
				e, found, err := q.Lookup(b.Context(), trackingOf(b, taken.Jobs[0].EncodedArgs))
				if err != nil || !found {
					b.Fatal(found, err)
				}
				e.State, e.FinishedAt, e.Attempts = outbox.Confirmed, time.Now(), 1
				began = time.Now()
				if stored, err := q.finish(b.Context(), e); err != nil || !stored {
					b.Fatal(stored, err)
				}
				record = append(record, time.Since(began))
			}
			report(b, claim, "claim-")
			report(b, record, "record-")
		})
	}
}

func trackingOf(b *testing.B, args []byte) (t sparkloop.Tracking) {
	b.Helper()
	require.NoError(b, t.UnmarshalJSON(args))
	return t
}

// BenchmarkStats reads the figures of the status page.
func BenchmarkStats(b *testing.B) {
	q := filled(b, 1_000_000, 100_000)
	for b.Loop() {
		if _, err := q.Stats(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRedriveAll redrives a million dead conversions.
func BenchmarkRedriveAll(b *testing.B) {
	q := filled(b, 1_000_000, 100_000)
	for b.Loop() {
		b.StopTimer()
		_, err := q.db.pool.Exec(b.Context(), in(q.schema, `
			UPDATE {schema}.river_job SET state = 'cancelled', finalized_at = now() - id * interval '1 s'`))
		require.NoError(b, err)
		b.StartTimer()
		if n, err := q.RedriveAll(b.Context(), outbox.Dead); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
	}
}
