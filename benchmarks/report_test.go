package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// made returns a report with invented figures of one round: each client takes a
// tenth more than the previous one.
func made() *report {
	all := make([]figures, len(subjects))
	for i, s := range subjects {
		ratio := 1 + float64(i)/10
		all[i] = figures{name: s.name, ratios: []float64{ratio, ratio + 0.02}, took: 1000, allocs: 30, bytes: 2048}
	}
	r := &report{
		at: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), plan: plan{rounds: 2, turns: 1, turn: time.Millisecond},
		post: all, list: all, remote: all,
		pacing:  []figures{{name: rateAllow, ratios: []float64{1, 1}}, {name: pacingWait, ratios: []float64{1.4, 1.5}}},
		capture: []figures{{name: urlQuery, ratios: []float64{1, 1}}, {name: capturePlain, ratios: []float64{0.1, 0.1}}},
	}
	for _, s := range subjects {
		r.opened = append(r.opened, opened{s.name, 64, 65})
		r.sizes = append(r.sizes, footprint{s.name, 8_000_000, 5_000_000, 2})
	}
	for i, q := range queues {
		r.queues = append(r.queues, burstTime{q.name, []float64{float64(1+4*i) * 1e5, float64(1+4*i) * 1e5}, []float64{2e5, 2e5}})
	}
	return r
}

func TestTheTableSaysWhatHoldsAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	table := made().markdown()
	for _, line := range []string{
		"| POST in memory, x net/http | 1.10 | 1.11 (1.10 to 1.12) | missed |",
		"| POST in memory, allocations | 33 | 30 | holds |",
		"| POST in memory, x hcloud-go | 0.55 | 0.79 (0.79 to 0.79) | missed |",
		"| the same, with broken and cancelled calls | 64 | 65 | missed |",
		"| pacing decision, x `Allow` | 1.50 | 1.45 (1.40 to 1.50) | holds |",
		"| hcloud-go | 64 | 65 |",
		"| storing a job, 32 writers, x goqite | 0.20 | 0.20 (0.20 to 0.20) | holds |",
	} {
		assert.Contains(t, table, line+"\n")
	}
	assert.NotContains(t, table, "%!")
}

func TestEachQueueStoresWhatItIsGiven(t *testing.T) {
	t.Parallel()
	all, err := measureQueues(t.Context(), 1)
	require.NoError(t, err)
	r := made()
	r.queues = all
	table := r.markdown()
	for _, q := range queues {
		assert.Contains(t, table, "| "+q.name+" | ")
	}
}

func TestTheChartIsXMLWithABarForEachClientAndCall(t *testing.T) {
	t.Parallel()
	chart := made().svg()
	assert.Equal(t, 3*len(subjects), strings.Count(chart, "<rect "))
	d := xml.NewDecoder(strings.NewReader(chart))
	for {
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			require.NoError(t, err)
			continue
		}
		return
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	assert.InDelta(t, 2.5, median([]float64{4, 1, 2, 3}), 0)
}

func TestCompareCountsRoundsAndAllocations(t *testing.T) {
	t.Parallel()
	var kept []byte
	small := task{"small", func(context.Context) error { kept = make([]byte, 64); return nil }}
	got, err := plan{rounds: 3, turns: 1, turn: time.Millisecond}.compare(t.Context(), []task{small, small})
	require.NoError(t, err)
	assert.Len(t, got, 2)
	assert.Len(t, got[1].ratios, 3)
	assert.Equal(t, []float64{1, 1, 1}, got[0].ratios)
	assert.NotEmpty(t, kept)
}
