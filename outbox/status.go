package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits beyond which a queue is unhealthy.
const (
	pausedMost  = 15 * time.Minute
	pendingMost = time.Hour
	diedWithin  = 24 * time.Hour
)

const (
	readMost    = 10 * time.Second // per request
	finishedMax = 50               // rows of the dead and of the expired table
	failingMax  = 20               // rows of the table of pending conversions
	searchMax   = 1000             // pending conversions that are read for these rows
)

var (
	//go:embed status.html
	statusHTML string
	//go:embed status.css
	statusCSS string

	statusPage = template.Must(template.New("status").Funcs(template.FuncMap{"count": count, "span": span}).Parse(statusHTML))
)

// StatusHandler returns a handler for a page that shows the state of a queue. It
// accepts GET and HEAD, and changes nothing.
//
// With ?format=json it returns JSON for a monitor: the fields of [Stats], "healthy",
// and "problems", a list of sentences. The status is 503 instead of 200 if:
//
//   - SparkLoop rejects the API key;
//   - the queue has been paused for over 15 minutes;
//   - the oldest pending conversion has waited for over an hour;
//   - a conversion became dead or expired within 24 hours and was not redriven;
//   - the queue cannot be read within 10 seconds. Only then the page is a 503 too.
//
// The page shows offers, submissions and reasons, but no key. Put it behind the
// application's own authentication. Never make it a liveness probe: a restart does
// not help.
func StatusHandler(q Queue) http.Handler {
	style := sha256.Sum256([]byte(statusCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(style[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Robots-Tag", "noindex")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readMost)
		defer cancel()
		switch r.URL.Query().Get("format") {
		case "", "html":
			serveStatusPage(ctx, w, q)
		case "json":
			serveStatusJSON(ctx, w, q)
		default:
			http.Error(w, "unknown format: use json or html (the default)", http.StatusBadRequest)
		}
	})
}

// Problems returns the problems of a queue as sentences, or an empty slice.
// StatusHandler and "sparkloop queue stats" show them.
func (s Stats) Problems() []string {
	problems := []string{} // in JSON [], not null
	paused := s.Time.Sub(s.PausedSince)
	switch {
	case s.PausedSince.IsZero():
	case s.KeyRejected():
		problems = append(problems, KeyRejected+".")
	case strings.HasPrefix(s.PausedReason, OtherAPI):
		problems = append(problems, "Nothing is delivered: "+oneLine(errors.New(s.PausedReason))+".")
	case paused > pausedMost:
		problems = append(problems, fmt.Sprintf("The queue has been paused for %s.", span(paused)))
	}
	if waited := s.Time.Sub(s.OldestPending); !s.OldestPending.IsZero() && waited > pendingMost {
		problems = append(problems, fmt.Sprintf("The oldest pending conversion has waited for %s.", span(waited)))
	}
	if ago := s.Time.Sub(s.LastDied); !s.LastDied.IsZero() && ago < diedWithin {
		problems = append(problems, fmt.Sprintf("A conversion became dead or expired %s ago.", span(ago)))
	}
	return problems
}

// KeyRejected reports whether nothing is sent because SparkLoop answered 401.
func (s Stats) KeyRejected() bool { return strings.HasPrefix(s.PausedReason, KeyRejected) }

// check returns a queue's figures and its problems. The figures are nil if the
// queue cannot be read.
func check(ctx context.Context, q Queue) (*Stats, []string) {
	s, err := q.Stats(ctx)
	if err != nil {
		return nil, []string{"The queue could not be read: " + oneLine(err)}
	}
	return &s, s.Problems()
}

func serveStatusJSON(ctx context.Context, w http.ResponseWriter, q Queue) {
	stats, problems := check(ctx, q)
	body, err := json.Marshal(struct {
		Healthy  bool     `json:"healthy"`
		Problems []string `json:"problems"`
		*Stats
	}{len(problems) == 0, problems, stats})
	if err != nil {
		http.Error(w, "the figures cannot be written as JSON: "+oneLine(err), http.StatusInternalServerError)
		return
	}
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the monitor has gone
}

// statusView is the data of the page.
type statusView struct {
	Style    template.CSS
	Problems []string
	*Stats   // nil if the queue cannot be read

	Bars      []statusBar
	Most, Sum int // of the bars
	Tables    []statusTable
}

// statusBar is one hour's confirmations. The plot is 100 units high.
type statusBar struct{ Count, X, Y, Height, From, To int }

type statusTable struct {
	Title, Hint string
	When        string // heading of the column of times
	Rows        []statusRow
	More        string // a note on rows that are not shown
	Error       string // the error that ended the list early
}

type statusRow struct {
	Entry
	When time.Time
	Away string // from now
}

func serveStatusPage(ctx context.Context, w http.ResponseWriter, q Queue) {
	stats, problems := check(ctx, q)
	view := statusView{Style: template.CSS(statusCSS), Problems: problems, Stats: stats} //nolint:gosec // embedded
	status := http.StatusServiceUnavailable
	if stats != nil {
		status = http.StatusOK
		view.plot()
		view.Tables = []statusTable{finished(ctx, q, stats, Dead), finished(ctx, q, stats, Expired), failing(ctx, q, stats)}
	}
	var page bytes.Buffer // after an error, no part of the page is sent
	if err := statusPage.Execute(&page, view); err != nil {
		http.Error(w, "the page cannot be written: "+oneLine(err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page.WriteTo(w) //nolint:errcheck // the browser has gone
}

func (v *statusView) plot() {
	hours := v.ConfirmedByHour
	v.Most = slices.Max(hours[:])
	for i, n := range hours {
		v.Sum += n
		height := 0
		if v.Most > 0 {
			height = (n*100 + v.Most - 1) / v.Most // rounded up: one confirmation stays visible beside thousands
		}
		v.Bars = append(v.Bars, statusBar{n, i*10 + 1, 100 - height, height, len(hours) - i, len(hours) - i - 1})
	}
}

// finished lists the latest dead or expired conversions.
func finished(ctx context.Context, q Queue, s *Stats, state State) statusTable {
	t := statusTable{Title: "Dead", When: "Died", Hint: "SparkLoop refused them. They are not retried."}
	all := s.Dead
	if state == Expired {
		t.Title, t.When, t.Hint, all = "Expired", "Expired", "SparkLoop did not accept them within the 45 days.", s.Expired
	}
	t.Hint += " After mending the cause, make them pending again: Redrive by ID, or RedriveAll."
	if all == 0 {
		return t
	}
	for e, err := range q.List(ctx, state) {
		if err != nil {
			t.Error = oneLine(err)
			break
		}
		if len(t.Rows) == finishedMax {
			break
		}
		t.Rows = append(t.Rows, row(e, e.FinishedAt, span(s.Time.Sub(e.FinishedAt))+" ago"))
	}
	if more := all - len(t.Rows); more > 0 {
		t.More = "and " + count(more) + " more"
	}
	return t
}

// failing lists the latest pending conversions with at least one attempt.
func failing(ctx context.Context, q Queue, s *Stats) statusTable {
	t := statusTable{Title: "Pending after a failure", When: "Next attempt", Hint: "They are retried until SparkLoop answers."}
	if s.Pending == 0 {
		return t
	}
	searched := 0
	for e, err := range q.List(ctx, Pending) {
		if err != nil {
			t.Error = oneLine(err)
			break
		}
		if len(t.Rows) == failingMax || searched == searchMax {
			t.More = "There may be more."
			break
		}
		searched++
		if e.Attempts == 0 {
			continue
		}
		away := "due now"
		if wait := e.DueAt.Sub(s.Time); wait > 0 {
			away = "in " + span(wait)
		}
		t.Rows = append(t.Rows, row(e, e.DueAt, away))
	}
	return t
}

// row returns a table row. The reason loses the prefix that repeats the two IDs.
func row(e Entry, when time.Time, away string) statusRow {
	e.Reason = strings.TrimPrefix(e.Reason, "sparkloop: confirm "+e.Tracking.Key()+": ")
	return statusRow{e, when, away}
}

// oneLine returns an error's text without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// span formats a duration for people: 45 s, 3 min, 2 h 5 min, 3 d 4 h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0) // the clock may have been set back
	large, small, rest := "", "", time.Duration(0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		large, small, rest = fmt.Sprintf("%d h", d/time.Hour), "min", d%time.Hour/time.Minute
	default:
		large, small, rest = fmt.Sprintf("%d d", d/day), "h", d%day/time.Hour
	}
	if rest == 0 {
		return large
	}
	return fmt.Sprintf("%s %d %s", large, rest, small)
}

// count formats a number with a comma before every three digits.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
