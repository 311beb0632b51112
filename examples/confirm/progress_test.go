package main

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestTimeLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		done, total int
		elapsed     time.Duration
		want        time.Duration
	}{
		{"finished", 10, 10, time.Second, 0},
		{"nothing to do", 0, 0, 0, 0},
		{"one burst, not begun", 0, 120, 0, 0},
		{"one burst, under way", 30, 120, 2 * time.Second, 6 * time.Second},
		{"many bursts, not begun", 0, 1000, 0, 488 * time.Second},
		{"the first burst was quick", 120, 1000, 2 * time.Second, 486 * time.Second},
		{"in the middle", 500, 1000, 245 * time.Second, 243 * time.Second},
		{"before the last burst", 960, 1000, 480 * time.Second, 8 * time.Second},
		{"in the last burst", 980, 1000, 490 * time.Second, 10 * time.Second},
		{"far behind the limit", 300, 1000, 300 * time.Second, 700 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, timeLeft(tt.done, tt.total, tt.elapsed))
		})
	}
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		counts  counts
		total   int
		elapsed time.Duration
		want    string
	}{
		{counts{}, 50, 0, "0 of 50, 0 confirmed"},
		{counts{}, 1000, 0, "0 of 1000, 0 confirmed, about 8m08s left"},
		{counts{confirmed: 110, already: 10}, 1000, 2 * time.Second, "120 of 1000, 120 confirmed, about 8m06s left"},
		{counts{confirmed: 20, refused: 4, left: 6}, 120, 2 * time.Second, "30 of 120, 20 confirmed, 4 refused, 6 to try again, about 6s left"},
		{counts{confirmed: 120}, 20_000, time.Second, "120 of 20000, 120 confirmed, about 2h48m left"},
		{counts{confirmed: 5}, 5, time.Second, "5 of 5, 5 confirmed"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			got := progressLine(tt.counts, tt.total, tt.elapsed)
			assert.Equal(t, tt.want, got)
			assert.LessOrEqual(t, len(got), progressWidth)
		})
	}
}

func TestShowProgressRewritesOneLineAndWipesItOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		start := time.Now()
		stop := showProgress(&out, 1000, func() counts {
			return counts{confirmed: min(120, int(time.Since(start)/(10*time.Millisecond)))}
		})
		<-time.After(1200 * time.Millisecond) // on the bubble's clock
		stop()
		assert.NotContains(t, out.String(), "\n")
		var lines []string
		for line := range strings.SplitSeq(out.String(), "\r") {
			lines = append(lines, strings.TrimRight(line, " "))
		}
		assert.Equal(t, []string{
			"",
			"0 of 1000, 0 confirmed, about 8m08s left",
			"50 of 1000, 50 confirmed, about 8m08s left",
			"100 of 1000, 100 confirmed, about 8m07s left",
			"", "",
		}, lines)
	})
}

func TestOnlyADeviceIsATerminal(t *testing.T) {
	t.Parallel()
	assert.False(t, isTerminal(&strings.Builder{}))
	file, err := os.Create(t.TempDir() + "/file")
	require.NoError(t, err)
	defer file.Close()
	assert.False(t, isTerminal(file))
	device, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer device.Close()
	assert.True(t, isTerminal(device))
}

func TestOnATerminalTheSummaryIsTheSame(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	_, rows := clicks(api, 3)
	d := newDesk(t, api)
	terminal, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // a device, as a terminal is
	require.NoError(t, err)
	defer terminal.Close()
	var stdout strings.Builder
	getenv := func(name string) string { return d.env[name] }
	code := run(t.Context(), d.listArgs(), getenv, strings.NewReader(strings.Join(rows, "\n")), &stdout, terminal, d.opts...)
	assert.Equal(t, exitDone, code)
	assert.Contains(t, stdout.String(), "confirmed now                  3\n")
}
