package sqliteoutbox

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// BenchmarkIdle reports an idle queue's share of one core, over five seconds.
func BenchmarkIdle(b *testing.B) {
	q, err := Open(b.Context(), filepath.Join(b.TempDir(), "queue.db"), sparklooptest.NewServer(b).Client(), outbox.Options{})
	require.NoError(b, err)
	defer q.Close(b.Context())
	time.Sleep(2 * time.Second) // it polls more often right after Open
	const span = 5 * time.Second
	var used time.Duration
	n := 0
	for b.Loop() {
		before := cpu(b)
		time.Sleep(span)
		used += cpu(b) - before
		n++
	}
	b.ReportMetric(100*float64(used)/float64(span)/float64(n), "%core")
}

// cpu returns the CPU time of the process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkMemory reports the memory of a process that delivers from a million
// pending conversions.
func BenchmarkMemory(b *testing.B) {
	full := filled(b, 1_000_000, 1_000_000)
	path := full.db.file.path
	require.NoError(b, full.Close(b.Context()))
	full = nil
	debug.FreeOSMemory()
	api := sparklooptest.NewServer(b, sparklooptest.WithRateLimit(0, 0))
	api.Fail(sparklooptest.Status(200, `{"message":"Conversion tracked successfully"}`), -1)
	q, err := Open(b.Context(), path, api.Client(), outbox.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	defer q.Close(b.Context())
	most := 0
	for b.Loop() {
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			most = max(most, resident(b))
		}
		if _, err := q.Stats(b.Context()); err != nil {
			b.Fatal(err)
		}
		most = max(most, resident(b))
	}
	b.ReportMetric(float64(most)/1024, "MB-resident")
}

var vmRSS = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident returns the process's memory in KiB.
func resident(b *testing.B) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(string(vmRSS.FindSubmatch(status)[1]))
	require.NoError(b, err)
	return n
}
