package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// call is a measured call.
type call func(context.Context) error

// task is a call and its name.
type task struct {
	name string
	run  call
}

// figures are the times of a task, and its ratios to the first task of the
// comparison.
type figures struct {
	name          string
	ratios        []float64 // one per round
	took          float64   // nanoseconds of one call: the median of the rounds
	allocs, bytes float64   // of one call
}

// plan is the amount of measuring. In a round each task has several turns, in
// random order, so that noise of the machine affects all tasks alike. The time
// of a round is the lower quartile of its turns.
type plan struct {
	rounds, turns int
	turn          time.Duration
}

// compare measures tasks side by side.
func (p plan) compare(ctx context.Context, tasks []task) ([]figures, error) {
	all := make([]figures, len(tasks))
	batches := make([]int, len(tasks)) // calls between two readings of the clock
	for i, t := range tasks {
		n, err := p.fit(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		batches[i] = n
		all[i].name = t.name
		all[i].allocs, all[i].bytes, err = memoryOf(ctx, t.run, max(n, 20))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	times := make([][]float64, len(tasks)) // of the rounds
	for range p.rounds {
		turns := make([][]float64, len(tasks))
		for range p.turns {
			for _, i := range rand.Perm(len(tasks)) {
				took, err := p.takeTurn(ctx, tasks[i].run, batches[i])
				if err != nil {
					return nil, fmt.Errorf("%s: %w", tasks[i].name, err)
				}
				turns[i] = append(turns[i], took)
			}
		}
		for i := range tasks {
			times[i] = append(times[i], quartile(turns[i]))
			all[i].ratios = append(all[i].ratios, quartile(turns[i])/quartile(turns[0]))
		}
	}
	for i := range all {
		all[i].took = median(times[i])
	}
	return all, nil
}

// fit returns the number of calls in about a fiftieth of a turn. The first call
// does the one-time work.
func (p plan) fit(ctx context.Context, t task) (int, error) {
	if err := t.run(ctx); err != nil {
		return 0, err
	}
	for n := 1; ; n *= 2 {
		took, err := repeat(ctx, t.run, n)
		if err != nil {
			return 0, err
		}
		if took*float64(n) >= float64(p.turn.Nanoseconds())/50 {
			return n, nil
		}
	}
}

// takeTurn repeats a call for one turn and returns the nanoseconds of one call.
// All turns have the same length, so that each task pays for its own garbage
// collections.
func (p plan) takeTurn(ctx context.Context, run call, batch int) (float64, error) {
	began, calls := time.Now(), 0
	for {
		if _, err := repeat(ctx, run, batch); err != nil {
			return 0, err
		}
		calls += batch
		if took := time.Since(began); took >= p.turn {
			return float64(took.Nanoseconds()) / float64(calls), nil
		}
	}
}

// repeat makes n calls and returns the nanoseconds of one call.
func repeat(ctx context.Context, run call, n int) (float64, error) {
	start := time.Now()
	for range n {
		if err := run(ctx); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n), nil
}

// memoryOf returns the allocations of one of n calls.
func memoryOf(ctx context.Context, run call, n int) (allocs, bytes float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = repeat(ctx, run, n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n), err
}

// ratio returns the median of the rounds.
func (f figures) ratio() float64 { return median(f.ratios) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// quartile returns the lower quartile.
func quartile(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)/4]
}
