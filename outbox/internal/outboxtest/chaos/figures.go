package chaos

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// figures are the results of a story.
type figures struct {
	story, engine string
	processes     int
	kills         int // of processes, or strikes at the database

	enqueued, confirmed, lost int
	enqueue                   calls
	twice                     int // confirmed more than once at the API
	seen                      counts
	healthy                   time.Duration // the median beside broken ones
	share, shareAfter         float64       // of the limit, before and after the kills; 0 if there was none
	took                      time.Duration
}

const columns = "story\tengine\tprocesses\tkills\tenqueued\tconfirmed\tlost\tanswered twice\tconfirmed twice\t429s\t" +
	"requests\tanswers lost\t5xx\tresets\t401s\tof the limit\tafter kills\thealthy p50\tEnqueue refused\tslowest\ttook\t"

func (f figures) row() string {
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%d\t%s\t%s\t",
		f.story, f.engine, f.processes, f.kills, f.enqueued, f.confirmed, f.lost, f.seen.repeated, f.twice, f.seen.limited,
		f.seen.requests, f.seen.lost, f.seen.failed, f.seen.reset, f.seen.refused,
		percent(f.share), percent(f.shareAfter), f.healthy, f.enqueue.refused, f.enqueue.slowest.Round(time.Millisecond), f.took.Round(100*time.Millisecond))
}

func percent(share float64) string {
	if share == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

// String returns the row with the names of its columns.
func (f figures) String() string {
	names, values := strings.Split(columns, "\t"), strings.Split(f.row(), "\t")
	var parts []string
	for i, name := range names[:len(names)-1] {
		parts = append(parts, name+" "+values[i])
	}
	return strings.Join(parts, ", ")
}

// table holds the figures of all stories. It is safe for concurrent use.
type table struct {
	mu   sync.Mutex
	rows []string
}

func (t *table) add(f figures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, f.row())
}

func (t *table) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return // skipped
	}
	slices.Sort(t.rows)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, columns)
	for _, row := range t.rows {
		fmt.Fprintln(w, row)
	}
	w.Flush() //nolint:errcheck // to a terminal
}
