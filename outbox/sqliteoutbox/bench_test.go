package sqliteoutbox

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// sizes are numbers of conversions in a queue. Every tenth conversion is pending.
// The rest were confirmed over the last 60 days.
var sizes = []struct {
	name          string
	rows, pending int
}{{"empty", 0, 0}, {"million", 1_000_000, 100_000}}

// filled opens a queue that only enqueues, on a file with a number of rows.
func filled(b *testing.B, rows, pending int) *Outbox {
	b.Helper()
	q, err := Open(b.Context(), filepath.Join(b.TempDir(), "queue.db"), sparklooptest.NewServer(b).Client(),
		outbox.Options{Workers: -1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, q.Close(context.Background())) })
	if rows == 0 {
		return q
	}
	now := time.Now().UnixMilli()
	_, err = q.db.db.ExecContext(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO sparkloop_conversions (offer, submission, captured, enqueued, state, due, finished)
		SELECT 'offer_1234abcd', 'submission_' || hex(randomblob(8)), ?3 / 1000, ?3 - 3600000, CASE WHEN i % ?2 THEN 1 ELSE 0 END,
			?3 - 3600000 + i, CASE WHEN i % ?2 THEN ?3 - (?1 - i) * 5184 ELSE 0 END FROM n`, rows, rows/pending, now)
	require.NoError(b, err)
	_, err = q.db.db.ExecContext(b.Context(), "UPDATE sparkloop_counts SET n = ? WHERE what = 1", rows-pending)
	require.NoError(b, err)
	_, err = q.db.db.ExecContext(b.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(b, err)
	return q
}

func tracking(prefix string, n int) sparkloop.Tracking {
	return sparkloop.Tracking{Offer: "offer_1234abcd", Submission: fmt.Sprintf("submission_%s_%08x", prefix, n), CapturedAt: time.Now()}
}

func trackings(prefix string, n int) (ts []sparkloop.Tracking) {
	for i := range n {
		ts = append(ts, tracking(prefix, i))
	}
	return ts
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
				if err := q.Enqueue(b.Context(), tracking("bench", n)); err != nil {
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
			db := q.db.db
			_, err := db.ExecContext(b.Context(), "CREATE TABLE orders (id INTEGER PRIMARY KEY, tracking TEXT)")
			require.NoError(b, err)
			order := func(n int, enqueue bool) time.Duration {
				began := time.Now()
				tx, err := db.BeginTx(b.Context(), nil)
				if err != nil {
					b.Fatal(err)
				}
				t := tracking("bench", n)
				if _, err := tx.ExecContext(b.Context(), "INSERT INTO orders (tracking) VALUES (?)", t); err != nil {
					b.Fatal(err)
				}
				if enqueue {
					if err := q.EnqueueTx(b.Context(), tx, t); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
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

// BenchmarkClaim claims a conversion and stores its confirmation, without the call
// in between.
func BenchmarkClaim(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			q := filled(b, size.rows, size.pending)
			var claim, record []time.Duration
			for n := 0; b.Loop(); n++ {
				if size.rows == 0 {
					if err := q.Enqueue(b.Context(), tracking("bench", n)); err != nil {
						b.Fatal(err)
					}
				}
				began := time.Now()
				c, wait, err := q.next(b.Context())
				if err != nil || wait > 0 {
					b.Fatal(wait, err)
				}
				claim = append(claim, time.Since(began))
				began = time.Now()
				if n, err := q.record(b.Context(), c, confirmed(c.Entry)); err != nil || n != 1 {
					b.Fatal(n, err)
				}
				record = append(record, time.Since(began))
			}
			report(b, claim, "claim-")
			report(b, record, "record-")
		})
	}
}

func confirmed(e outbox.Entry) delivery.Verdict {
	e.State, e.FinishedAt, e.Attempts = outbox.Confirmed, time.Now(), 1
	return delivery.Verdict{Entry: e, Sent: true}
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
