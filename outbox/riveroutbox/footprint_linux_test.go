package riveroutbox

import (
	"context"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// BenchmarkMemory reports the memory of a process that delivers from a million
// pending conversions.
func BenchmarkMemory(b *testing.B) {
	full := filled(b, 1_000_000, 1_000_000)
	debug.FreeOSMemory()
	api := sparklooptest.NewServer(b, sparklooptest.WithRateLimit(0, 0))
	api.Fail(sparklooptest.Status(200, `{"message":"Conversion tracked successfully"}`), -1)
	q, err := Open(b.Context(), full.db.pool, api.Client(), quick())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, q.Close(context.Background())) })
	most := 0
	for b.Loop() {
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			most = max(most, resident(b))
		}
	}
	b.ReportMetric(float64(most)/1024, "MB-resident")
}

var vmRSS = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident returns the process's memory in KiB.
func resident(b *testing.B) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	n, err := strconv.Atoi(string(vmRSS.FindSubmatch(status)[1]))
	require.NoError(b, err)
	return n
}
