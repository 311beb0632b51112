package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"
)

// showProgress keeps a line on the terminal up to date until stop is called.
// Without a terminal it does nothing.
func (l *list) showProgress(total int) (stop func()) {
	file, ok := l.err.(*os.File)
	if !ok || !isTerminal(file) || total == 0 {
		return func() {}
	}
	requests, window := l.client.RateLimit()
	guess := pace{requests, window}
	const every = 250 * time.Millisecond
	w := progress.NewWriter()
	w.SetOutputWriter(file)
	w.SetUpdateFrequency(every)
	w.SetTrackerLength(20)
	w.SetTrackerPosition(progress.PositionLeft)
	w.Style().Visibility = progress.StyleVisibility{Tracker: true, Percentage: true}
	w.Style().Chars = progress.StyleCharsDefault
	w.Style().Options.Separator = "  "
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < 40 {
		width = 80
	}
	room := width - 32 // without the bar, the percentage and the spaces
	tracker := &progress.Tracker{Total: int64(total), DeferStart: false}
	w.AppendTracker(tracker)

	start, done := time.Now(), make(chan struct{})
	before := l.tally.total()
	draw := func() {
		n := l.tally.total()
		tracker.UpdateMessage(fmt.Sprintf("%-*.*s", room, room, l.tally.line(total, guess.left(n-before, total-before, time.Since(start)))))
		tracker.SetValue(int64(min(n, total-1))) // the last step ends the tracker
	}
	draw()
	var wg sync.WaitGroup
	wg.Go(w.Render)
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				draw()
			case <-done:
				return
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			close(done)
			draw()
			for !w.IsRenderInProgress() { // an earlier Stop would be lost
				time.Sleep(time.Millisecond)
			}
			w.Stop()
			wg.Wait()
		})
	}
}

func (t *tally) total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.answers() + t.n[toBeTried]
}

// line returns the progress of the run.
func (t *tally) line(total int, rest time.Duration) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := []string{fmt.Sprintf("%d of %d", t.answers()+t.n[toBeTried], total)}
	if rest >= time.Second {
		parts = append(parts, "about "+roughly(rest)+" left")
	}
	for _, r := range []result{refusedLine, toBeTried} {
		if n := t.n[r]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r))
		}
	}
	return strings.Join(parts, ", ")
}

// pace is the client's rate limit.
type pace struct {
	requests int
	window   time.Duration
}

// turn returns the earliest time for call n (from 0), after the start. The
// client adds one second to the window.
func (p pace) turn(n int) time.Duration {
	if p.requests == 0 {
		return 0
	}
	return time.Duration(n/p.requests) * (p.window + time.Second)
}

// left estimates the time for the remaining calls. Calls go out in bursts, one
// in each window, so after the first burst the average would be far too low.
// The estimate follows the limit while the run keeps up with it, and else the
// average.
func (p pace) left(done, total int, elapsed time.Duration) time.Duration {
	if done >= total {
		return 0
	}
	byLimit := p.turn(total-1) - elapsed
	if done == 0 || byLimit > 0 && elapsed < p.turn(done)+p.window {
		return max(byLimit, 0)
	}
	return time.Duration(float64(elapsed) / float64(done) * float64(total-done))
}

// roughly formats a duration with the precision of an estimate.
func roughly(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}
