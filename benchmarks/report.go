package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// report has all measurements. Its lists are in the subjects' order.
type report struct {
	at    time.Time
	facts machine
	plan  plan

	post, list, remote []figures
	pacing, capture    []figures
	opened             []opened
	queues             []burstTime
	sizes              []footprint // empty with -sizes=false
}

// machine describes the machine.
type machine struct {
	size, goVersion string
	versions        map[string]string // of the modules
}

func facts() machine {
	m := machine{
		size:      fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		goVersion: runtime.Version(),
		versions:  make(map[string]string),
	}
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB", &kib); err == nil {
			m.size = fmt.Sprintf("%d cores, %d GiB, %s/%s", runtime.NumCPU(), (kib+1<<19)>>20, runtime.GOOS, runtime.GOARCH)
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			m.versions[module.Path] = module.Version
		}
	}
	return m
}

// markdown returns RESULTS.md.
func (r *report) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("# Compared with other SDKs\n")
	line("Written by `make bench`: %s, %s, %s.", r.at.Format(time.DateOnly), r.facts.size, r.facts.goVersion)
	line("%d rounds. In each round, every client has %d turns of %s in random order. A round's time is the lower quartile of its", r.plan.rounds, r.plan.turns, r.plan.turn)
	line("turns, because other programs only make turns longer. Its ratio is to net/http in the same round. A cell is the median of the")
	line("rounds (minimum to maximum).\n")
	line("![Time compared with net/http](results.svg)\n")

	line("## The SDK's figures\n")
	line("| figure | at most | measured | |\n| --- | --- | --- | --- |")
	for _, b := range r.bounds() {
		line("| %s | %s | %s | %s |", b.figure, b.most(), b.got(), b.verdict())
	}

	line("\n## POST with an empty body and a tiny reply\n")
	line("| client | version | in memory, x net/http | allocations | KiB | on a local server, x net/http | allocations | one call on the server |")
	line("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for i, s := range subjects {
		line("| %s | %s | %s | %.0f | %s | %s | %.0f | %s |", s.name, r.version(s), spread(r.post[i]), r.post[i].allocs, kib(r.post[i].bytes),
			spread(r.remote[i]), r.remote[i].allocs, r.remote[i].duration())
	}
	line("\n## A list of %d objects\n", listed)
	line("In memory, into each client's own types; the JSON has %.0f to %.0f KiB.\n", r.jsonSizes()[0], r.jsonSizes()[1])
	line("| client | x net/http | one call | allocations | KiB | KiB, x net/http |\n| --- | --- | --- | --- | --- | --- |")
	for i, s := range subjects {
		f := r.list[i]
		line("| %s | %s | %s | %.0f | %s | %.2f |", s.name, spread(f), f.duration(), f.allocs, kib(f.bytes), f.bytes/r.list[0].bytes)
	}

	line("\n## Connections\n")
	line("%d bursts of %d calls to a local server that answers after %s. Each client uses its default HTTP client. In the last column", bursts, width, takes)
	line("one call breaks and one is cancelled after each burst, without retries. The connections of these two calls are not counted.\n")
	line("| client | opened | with broken and cancelled calls |\n| --- | --- | --- |")
	for _, o := range r.opened {
		line("| %s | %d | %d |", o.name, o.smooth, o.troubled)
	}

	if len(r.sizes) > 0 {
		line("\n## Size of a program\n")
		line("The programs in `footprint/` make one call. Sizes are relative to the program with only net/http and encoding/json.\n")
		line("| client | MB | MB, stripped with `-s -w` | other third-party modules |\n| --- | --- | --- | --- |")
		for i, f := range r.sizes {
			if i == 0 {
				line("| %s | %.1f | %.1f | %d |", f.name, mb(f.size), mb(f.stripped), f.modules)
				continue
			}
			line("| %s | +%.1f | +%.1f | %d |", f.name, mb(f.size-r.sizes[0].size), mb(f.stripped-r.sizes[0].stripped), f.modules)
		}
	}

	line("\n## Pacing and capture\n")
	line("| | ratio | one | allocations |\n| --- | --- | --- | --- |")
	for _, group := range [][]figures{r.pacing, r.capture} {
		for _, f := range group {
			line("| %s | %s | %.0f ns | %.0f |", f.name, spread(f), f.took/atOnce, f.allocs/atOnce)
		}
	}
	line("\nThe ratios are to `Allow` of golang.org/x/time %s, and to `URL.Query()` with three foreign parameters. The captured page has", r.facts.versions["golang.org/x/time"])
	line("the same URL. `Allow` returns only true or false; the SDK also queues the calls that must wait.")

	r.queueTable(line)

	line("\n## What each client does\n")
	line("No two clients do the same work. Each is used as its README shows, with its defaults; all send their key. In memory each has an")
	line("`http.Client` without a timeout; on the server each uses its default. All replies have the same three header fields: type,")
	line("date and request ID. None has a rate limit, unlike GitHub's and Hetzner's own.\n")
	line("| client | calls | does |\n| --- | --- | --- |")
	for _, s := range subjects {
		line("| %s | %s | %s |", s.name, s.calls, s.does)
	}
	line("\ndub-go is missing: the Go module proxy does not serve it. hcloud-go is the newest for this Go: 2.53.0 requires Go 1.26.10.")
	return b.String()
}

func (r *report) version(s subject) string {
	switch s.name {
	case raw:
		return r.facts.goVersion
	case sdk:
		return "this repository"
	}
	return strings.TrimPrefix(r.facts.versions[s.module], "v")
}

func (r *report) jsonSizes() [2]float64 {
	var sizes []float64
	for _, body := range replies() {
		if len(body) > 10_000 {
			sizes = append(sizes, float64(len(body))/1024)
		}
	}
	return [2]float64{slices.Min(sizes), slices.Max(sizes)}
}

func (f figures) duration() string {
	d := time.Duration(f.took)
	if d > time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

func spread(f figures) string {
	if slices.Min(f.ratios) == slices.Max(f.ratios) {
		return fmt.Sprintf("%.2f", f.ratio())
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", f.ratio(), slices.Min(f.ratios), slices.Max(f.ratios))
}

func kib(bytes float64) string {
	if bytes >= 100<<10 {
		return fmt.Sprintf("%.0f", bytes/1024)
	}
	return fmt.Sprintf("%.2f", bytes/1024)
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
