package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Measures of the chart, in pixels.
const (
	chartWidth = 860
	labels     = 176 // for the names
	panelWidth = (chartWidth - labels) / 3
	barSpace   = 148 // of a panel; the rest is for the number
	rowHeight  = 26
	barHeight  = 14
	top        = 38
)

// panel is one kind of call in the chart.
type panel struct {
	title   string
	figures []figures
}

// svg returns results.svg: a bar for each client and kind of call, with the
// spread over the rounds and a line at net/http. Its colours follow the
// viewer's theme.
func (r *report) svg() string {
	order := make([]int, len(subjects))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(math.Copysign(1, r.post[a].ratio()-r.post[b].ratio()))
	})
	height := top + len(order)*rowHeight + 34

	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title">`,
		chartWidth, height, chartWidth, height)
	line(`<title id="title">Time of a call as a multiple of net/http with encoding/json, for %d Go clients; shorter is better</title>`, len(subjects))
	b.WriteString(style)
	for row, i := range order {
		line(`<text class="%s" x="%d" y="%d" text-anchor="end">%s</text>`, class("name", subjects[i].name), labels-12, middle(row)+4, subjects[i].name)
	}
	for n, p := range []panel{{"POST, in memory", r.post}, {"POST, local server", r.remote}, {fmt.Sprintf("List of %d, in memory", listed), r.list}} {
		r.panel(line, p, labels+n*panelWidth, order)
	}
	line(`<text class="note" x="%d" y="%d">Time of a call, x net/http + encoding/json in the same round; shorter is better. Thin lines: minimum to maximum of %d rounds. %s.</text>`,
		8, height-10, r.plan.rounds, r.at.Format("January 2006"))
	line(`</svg>`)
	return b.String()
}

func (r *report) panel(line func(string, ...any), p panel, left int, order []int) {
	longest := 0.0
	for _, f := range p.figures {
		longest = max(longest, slices.Max(f.ratios))
	}
	x := func(ratio float64) float64 { return float64(left) + ratio/longest*barSpace }
	line(`<text class="head" x="%d" y="24">%s</text>`, left, p.title)
	for row, i := range order {
		f := p.figures[i]
		y := middle(row)
		line(`<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class("bar", f.name), left, y-barHeight/2, x(f.ratio())-float64(left), barHeight)
		if i > 0 {
			line(`<line class="spread" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x(slices.Min(f.ratios)), x(slices.Max(f.ratios)), y, y)
		}
		line(`<text class="%s" x="%.1f" y="%d">%.2f</text>`, class("value", f.name), x(slices.Max(f.ratios))+6, y+4, f.ratio())
	}
	line(`<line class="one" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x(1), x(1), top-4, top+len(order)*rowHeight)
}

// middle returns the height of a row's middle.
func middle(row int) int { return top + row*rowHeight + rowHeight/2 }

// class highlights the SDK's own row.
func class(name, client string) string {
	if client == sdk {
		return name + " ours"
	}
	return name
}

const style = `<style>
text { font: 12px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a }
.head { font-weight: 600; fill: #24292f }
.name, .value { fill: #24292f }
.ours { font-weight: 600 }
.note { font-size: 11px }
.bar { fill: #afb8c1 }
.bar.ours { fill: #1f6feb }
.spread { stroke: #57606a; stroke-width: 1.5 }
.one { stroke: #57606a; stroke-width: 1; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 }
.head, .name, .value { fill: #f0f6fc }
.bar { fill: #484f58 }
.bar.ours { fill: #4493f8 }
.spread, .one { stroke: #9198a1 }
}
</style>
`
