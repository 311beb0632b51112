package main

import (
	"fmt"
	"math"
	"slices"
)

// bound is the largest allowed figure of the SDK.
type bound struct {
	figure string
	format string // of limit and value
	limit  float64
	value  float64
	spread string // of the value over the rounds, or ""
}

func (b bound) most() string { return fmt.Sprintf(b.format, b.limit) }

func (b bound) got() string { return fmt.Sprintf(b.format, b.value) + b.spread }

// verdict compares the values as the table shows them.
func (b bound) verdict() string {
	if b.value <= b.limit || fmt.Sprintf(b.format, b.value) == b.most() {
		return "holds"
	}
	return "missed"
}

// bounds returns all bounded figures with their measured values.
func (r *report) bounds() []bound {
	of := func(all []figures, name string) figures {
		return all[slices.IndexFunc(all, func(f figures) bool { return f.name == name })]
	}
	ratio := func(figure string, limit float64, f figures) bound {
		return bound{figure, "%.2f", limit, f.ratio(), fmt.Sprintf(" (%.2f to %.2f)", slices.Min(f.ratios), slices.Max(f.ratios))}
	}
	post, list := of(r.post, sdk), of(r.list, sdk)
	bounds := []bound{
		ratio("POST in memory, x net/http", 1.10, post),
		{"POST in memory, allocations", "%.0f", 33, post.allocs, ""},
		{"POST in memory, KiB", "%.2f", 3, post.bytes / 1024, ""},
		ratio("POST on a local server, x net/http", 1.05, of(r.remote, sdk)),
		ratio(fmt.Sprintf("list of %d in memory, x net/http", listed), 0.90, list),
		{fmt.Sprintf("list of %d in memory, bytes x net/http", listed), "%.2f", 0.35, list.bytes / r.list[0].bytes, ""},
	}
	fastest := figures{name: "nobody", ratios: slices.Repeat([]float64{math.Inf(1)}, r.plan.rounds)}
	for _, f := range r.list {
		if f.name != raw && f.name != sdk && f.ratio() < fastest.ratio() {
			fastest = f
		}
	}
	bounds = append(bounds, ratio(fmt.Sprintf("list of %d in memory, x the fastest peer (%s)", listed, fastest.name), 1, beside(list, fastest)))
	for _, peer := range []struct {
		name  string
		limit float64
	}{{"go-github", 0.65}, {"hcloud-go", 0.55}, {"stripe-go", 0.35}, {"openai-go", 0.30}, {"anthropic-sdk-go", 0.25}} {
		bounds = append(bounds, ratio("POST in memory, x "+peer.name, peer.limit, beside(post, of(r.post, peer.name))))
	}
	for _, o := range r.opened {
		if o.name == sdk {
			bounds = append(bounds,
				bound{fmt.Sprintf("connections for %d bursts of %d calls", bursts, width), "%.0f", width, float64(o.smooth), ""},
				bound{"the same, with broken and cancelled calls", "%.0f", width, float64(o.troubled), ""})
		}
	}
	for _, f := range r.sizes {
		if f.name == sdk {
			bounds = append(bounds,
				bound{"program stripped (`-s -w`), MB above net/http", "%.1f", 0.6, mb(f.stripped - r.sizes[0].stripped), ""},
				bound{"program not stripped, MB above net/http", "%.1f", 0.6, mb(f.size - r.sizes[0].size), ""},
				bound{"program, third-party modules", "%.0f", 2, float64(f.modules), ""})
		}
	}
	for _, q := range r.queues[1:] {
		bounds = append(bounds, ratio(fmt.Sprintf("storing a job, %d writers, x %s", queueWriters, q.name), 0.20, figures{ratios: ratios(r.queues[0].burst, q.burst)}))
	}
	decision, view := of(r.pacing, pacingWait), of(r.capture, capturePlain)
	return append(bounds,
		ratio("pacing decision, x `Allow`", 1.5, decision),
		bound{"pacing decision, allocations", "%.0f", 0, decision.allocs / atOnce, ""},
		ratio("capture on a page without parameters of SparkLoop, x `URL.Query()`", 0.15, view),
		bound{"the same, allocations", "%.0f", 0, view.allocs / atOnce, ""})
}

// beside returns the ratio of a to b in each round.
func beside(a, b figures) figures {
	f := figures{name: a.name}
	for i := range a.ratios {
		f.ratios = append(f.ratios, a.ratios[i]/b.ratios[i])
	}
	return f
}
