package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// The pace that the client keeps to by itself: so many calls in a minute, and
// a second more to be sure that the API counts no more than that.
const (
	pace     = 120
	paceSpan = 61 * time.Second
)

// turn is when, after the start, call n (from 0) may go at the earliest.
func turn(n int) time.Duration { return time.Duration(n/pace) * paceSpan }

// timeLeft guesses how long the rest of the calls takes. Calls go in bursts, a
// burst a minute, so the average so far would promise far too much after the
// first burst. While the run keeps up with the limit, the limit is what
// counts; once it has fallen a whole burst behind, the average is.
func timeLeft(done, total int, elapsed time.Duration) time.Duration {
	if done >= total {
		return 0
	}
	byLimit := turn(total-1) - elapsed
	if done == 0 || byLimit > 0 && elapsed < turn(done)+paceSpan {
		return max(byLimit, 0)
	}
	return time.Duration(float64(elapsed) / float64(done) * float64(total-done))
}

// progressLine says how far the run is.
func progressLine(c counts, total int, elapsed time.Duration) string {
	line := fmt.Sprintf("%d of %d, %d confirmed", c.total(), total, c.confirmed+c.already)
	if c.refused > 0 {
		line += fmt.Sprintf(", %d refused", c.refused)
	}
	if c.left > 0 {
		line += fmt.Sprintf(", %d to try again", c.left)
	}
	if rest := timeLeft(c.total(), total, elapsed); rest >= time.Second {
		line += ", about " + roughly(rest) + " left"
	}
	return line
}

// roughly writes a duration as precisely as a guess deserves.
func roughly(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// progressWidth is less than a terminal's usual 80: a line that wraps cannot
// be written over.
const progressWidth = 78

// showProgress keeps a line on w up to date until the function that it returns
// has been called, which wipes the line out.
func showProgress(w io.Writer, total int, soFar func() counts) (stop func()) {
	const every = 500 * time.Millisecond
	start, done := time.Now(), make(chan struct{})
	draw := func(line string) { fmt.Fprintf(w, "\r%-*.*s", progressWidth, progressWidth, line) }
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			draw(progressLine(soFar(), total, time.Since(start)))
			select {
			case <-tick.C:
			case <-done:
				draw("")
				fmt.Fprint(w, "\r")
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// isTerminal says whether a person sits at the other end of a stream.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
