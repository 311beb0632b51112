package outbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

var noon = time.Date(2026, 7, 3, 12, 0, 0, 0, time.UTC)

// fakeQueue implements Stats and List. Other methods panic.
type fakeQueue struct {
	outbox.Queue
	stats    outbox.Stats
	statsErr error
	entries  map[outbox.State][]outbox.Entry
	listErr  error // after the entries
	yielded  map[outbox.State]int
}

func (q *fakeQueue) Stats(context.Context) (outbox.Stats, error) { return q.stats, q.statsErr }

func (q *fakeQueue) List(_ context.Context, s outbox.State) iter.Seq2[outbox.Entry, error] {
	return func(yield func(outbox.Entry, error) bool) {
		for _, e := range q.entries[s] {
			q.yielded[s]++
			if !yield(e, nil) {
				return
			}
		}
		if q.listErr != nil {
			yield(outbox.Entry{}, q.listErr)
		}
	}
}

// fill adds n entries in a state, each with this many attempts.
func (q *fakeQueue) fill(s outbox.State, n, attempts int) {
	if q.entries == nil {
		q.entries, q.yielded = map[outbox.State][]outbox.Entry{}, map[outbox.State]int{}
	}
	for i := range n {
		tracking := sparkloop.Tracking{Offer: "offer_1234abcd", Submission: fmt.Sprintf("submission_%d", i)}
		e := outbox.Entry{ID: int64(9000 - i), Tracking: tracking, State: s, Attempts: attempts, Reason: "sparkloop: confirm " + tracking.Key() + ": 404 Submission not found"}
		if s == outbox.Pending {
			e.DueAt = noon.Add(time.Duration(i) * time.Minute)
		} else {
			e.FinishedAt = noon.Add(-time.Duration(i) * time.Hour)
		}
		q.entries[s] = append(q.entries[s], e)
	}
}

func ask(q outbox.Queue, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	outbox.StatusHandler(q).ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func page(t *testing.T, q outbox.Queue) string {
	t.Helper()
	w := ask(q, http.MethodGet, "/outbox")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	return w.Body.String()
}

func TestStatusHealth(t *testing.T) {
	t.Parallel()
	const min15, hour, day = 15 * time.Minute, time.Hour, 24 * time.Hour
	for name, tt := range map[string]struct {
		paused, oldest, died time.Duration // ago; 0 for never
		problems             []string
	}{
		"nothing":             {},
		"paused for 15 min":   {paused: min15},
		"paused for longer":   {paused: min15 + 1, problems: []string{"The queue has been paused for 15 min."}},
		"pending for an hour": {oldest: hour},
		"pending for longer":  {oldest: hour + 1, problems: []string{"The oldest pending conversion has waited for 1 h."}},
		"died a day ago":      {died: day},
		"died later":          {died: day - 1, problems: []string{"A conversion became dead or expired 23 h 59 min ago."}},
		"died on another clock": {died: -time.Minute, problems: []string{
			"A conversion became dead or expired 0 s ago.",
		}},
		"all at once": {paused: 20 * time.Minute, oldest: 50 * hour, died: 45 * time.Second, problems: []string{
			"The queue has been paused for 20 min.",
			"The oldest pending conversion has waited for 2 d 2 h.",
			"A conversion became dead or expired 45 s ago.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := outbox.Stats{Time: noon}
			for ago, field := range map[*time.Duration]*time.Time{&tt.paused: &s.PausedSince, &tt.oldest: &s.OldestPending, &tt.died: &s.LastDied} {
				if *ago != 0 {
					*field = noon.Add(-*ago)
				}
			}
			q := &fakeQueue{stats: s}
			w := ask(q, http.MethodGet, "/outbox?format=json")
			if len(tt.problems) == 0 {
				require.Equal(t, http.StatusOK, w.Code)
				require.Contains(t, w.Body.String(), `{"healthy":true,"problems":[],`)
				require.NotContains(t, page(t, q), "Needs attention")
				return
			}
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Contains(t, w.Body.String(), `{"healthy":false,"problems":["`+strings.Join(tt.problems, `","`)+`"],`)
			html := page(t, q)
			require.Contains(t, html, `<p class="state bad">Needs attention</p>`)
			require.Contains(t, html, "<ul><li>"+strings.Join(tt.problems, "</li><li>")+"</li></ul>")
			require.Less(t, strings.Index(html, "<ul>"), strings.Index(html, "<dl"), "the problems come first")
		})
	}
}

func TestStatusJSON(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{stats: outbox.Stats{
		Time: noon, Pending: 4, Confirmed: 1234, Dead: 3, Expired: 2, Swept: 1,
		OldestPending: noon.Add(-time.Minute), LastDied: noon.Add(-time.Hour),
		PausedSince: noon.Add(-time.Second), PausedReason: `503 <busy> "now"`, ConfirmedByHour: [24]int{0: 7, 23: 9},
	}}
	w := ask(q, http.MethodGet, "/outbox?format=json")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, `{"healthy":false,"problems":["A conversion became dead or expired 1 h ago."],`+
		`"time":"2026-07-03T12:00:00Z","pending":4,"confirmed":1234,"dead":3,"expired":2,"swept":1,`+
		`"oldest_pending":"2026-07-03T11:59:00Z","last_died":"2026-07-03T11:00:00Z",`+
		`"paused_since":"2026-07-03T11:59:59Z","paused_reason":"503 \u003cbusy\u003e \"now\"",`+
		`"confirmed_by_hour":[7,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,9]}`+"\n", w.Body.String())
	require.Empty(t, q.yielded, "JSON needs no list")

	w = ask(&fakeQueue{}, http.MethodGet, "/outbox?format=json")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, `{"healthy":true,"problems":[],"time":"0001-01-01T00:00:00Z","pending":0,"confirmed":0,"dead":0,"expired":0,"swept":0,`+
		`"confirmed_by_hour":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}`+"\n", w.Body.String())

	w = ask(&fakeQueue{stats: outbox.Stats{Time: noon.AddDate(10000, 0, 0)}}, http.MethodGet, "/outbox?format=json")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "the figures cannot be written as JSON")
}

func TestStatusOfAnEmptyQueue(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{stats: outbox.Stats{Time: noon}}
	q.fill(outbox.Dead, 1, 1) // added after Stats was read
	html := page(t, q)
	require.Contains(t, html, "<title>Healthy – SparkLoop outbox</title>")
	require.Contains(t, html, `Not paused. As of <time datetime="2026-07-03T12:00:00Z">2026-07-03 12:00</time>.`)
	require.Contains(t, html, "none is waiting")
	require.Contains(t, html, "None in the last 24 hours.")
	require.NotContains(t, html, "<rect")
	require.NotContains(t, html, "<table")
	require.Empty(t, q.yielded, "nothing to list")
}

func TestStatusFigures(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{stats: outbox.Stats{Time: noon, Pending: 999, Confirmed: 1234567, Swept: 1000, OldestPending: noon.Add(-3 * time.Minute)}}
	html := page(t, q)
	require.Contains(t, html, `<dt>Pending</dt><dd><b>999</b> <span class="hint">oldest 3 min</span>`)
	require.Contains(t, html, `<dt>Confirmed</dt><dd><b>1,234,567</b>`)
	require.Contains(t, html, `<div class="wait"><dt>Swept</dt><dd><b>1,000</b>`)
	require.Contains(t, html, `<div><dt>Dead</dt><dd><b>0</b>`)
}

func TestStatusAges(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]string{
		-time.Hour:                      "0 s",
		0:                               "0 s",
		time.Minute - 1:                 "59 s",
		time.Minute:                     "1 min",
		time.Hour - 1:                   "59 min",
		time.Hour:                       "1 h",
		2*time.Hour + 5*time.Minute:     "2 h 5 min",
		24*time.Hour - 1:                "23 h 59 min",
		24 * time.Hour:                  "1 d",
		76*time.Hour + 59*time.Minute:   "3 d 4 h",
		45*24*time.Hour + 3*time.Minute: "45 d",
	} {
		q := &fakeQueue{stats: outbox.Stats{Time: noon, Pending: 1, OldestPending: noon.Add(-age)}}
		require.Contains(t, page(t, q), `<span class="hint">oldest `+want+`</span>`, age)
	}
}

func TestStatusPlot(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{stats: outbox.Stats{Time: noon, ConfirmedByHour: [24]int{0: 2000, 12: 1000, 23: 1}}}
	html := page(t, q)
	require.Contains(t, html, "3,001 in the last 24 hours, at most 2,000 in one hour.")
	require.Contains(t, html, `<rect x="1" y="0" width="8" height="100"><title>2,000, 24 to 23 h ago</title></rect>`)
	require.Contains(t, html, `<rect x="121" y="50" width="8" height="50"><title>1,000, 12 to 11 h ago</title></rect>`)
	require.Contains(t, html, `<rect x="231" y="99" width="8" height="1"><title>1, 1 to 0 h ago</title></rect>`, "a small bar stays visible beside a large one")
	require.Equal(t, 3, strings.Count(html, "<rect"))
	require.Contains(t, html, `role="img" aria-labelledby="plot" aria-describedby="summary"`)
	require.Equal(t, 24, strings.Count(html, `<tr><th scope="row">`), "the same as a table")
	require.Contains(t, html, `<tr><th scope="row">24 to 23</th><td>2,000</td></tr>`)
}

func TestStatusOfAPause(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{stats: outbox.Stats{Time: noon, PausedSince: noon.Add(-15 * time.Minute), PausedReason: "503 Service Unavailable"}}
	html := page(t, q)
	require.Contains(t, html, "<title>Paused – SparkLoop outbox</title>")
	require.Contains(t, html, `<p class="state wait">Paused</p>`)
	require.Contains(t, html, "Paused for 15 min</h2>")
	require.Contains(t, html, `Since <time datetime="2026-07-03T11:45:00Z">2026-07-03 11:45</time>.`)
	require.Contains(t, html, `<p class="reason">503 Service Unavailable</p>`)
	require.NotContains(t, html, "Not paused")

	for reason, problem := range map[string]string{
		outbox.KeyRejected + ": User not found!":            "SparkLoop rejects the API key (401).",
		outbox.OtherAPI + ": it calls https://fake.example": "Nothing is delivered: this process calls another API than the queue: it calls https://fake.example.",
	} {
		q.stats.PausedSince, q.stats.PausedReason = noon.Add(-time.Second), reason
		w := ask(q, http.MethodGet, "/outbox?format=json")
		require.Equal(t, http.StatusServiceUnavailable, w.Code, "at once")
		require.Contains(t, w.Body.String(), `"problems":["`+problem+`"]`)
		html = page(t, q)
		require.Contains(t, html, "<title>Needs attention")
		require.Contains(t, html, problem)
		require.Equal(t, strings.HasPrefix(reason, outbox.KeyRejected), strings.Contains(html, "a key that SparkLoop accepts"))
	}

	q.stats.PausedReason = ""
	require.Contains(t, page(t, q), `<p class="reason">No reason was given.</p>`)
}

func TestStatusTables(t *testing.T) {
	t.Parallel()
	const entry = `<th scope="row" class="id">`
	t.Run("dead and expired", func(t *testing.T) {
		t.Parallel()
		q := &fakeQueue{stats: outbox.Stats{Time: noon, Dead: 50, Expired: 1234}}
		q.fill(outbox.Dead, 50, 3)
		q.fill(outbox.Expired, 1234, 1500)
		html := page(t, q)
		require.Equal(t, 100, strings.Count(html, entry))
		dead, expired, found := strings.Cut(html, ">Expired</h2>")
		require.True(t, found)
		require.Contains(t, dead, ">Dead</h2>")
		require.Contains(t, dead, entry+"9000</th>")
		require.Contains(t, dead, `<code>offer_1234abcd</code> <code>submission_2</code>`)
		require.Contains(t, dead, `2 h ago <span class="hint"><time datetime="2026-07-03T10:00:00Z">2026-07-03 10:00</time></span>`)
		require.Contains(t, dead, `<td class="attempts">3</td>`)
		require.Contains(t, dead, `<td class="reason">404 Submission not found</td>`, "the IDs are in another column")
		require.NotContains(t, dead, "more")
		require.Contains(t, expired, `<td class="attempts">1,500</td>`)
		require.Contains(t, expired, "and 1,184 more")
		require.Contains(t, expired, entry+"8951</th>")
		require.NotContains(t, expired, entry+"8950</th>")
		require.LessOrEqual(t, q.yielded[outbox.Expired], 51)
	})
	t.Run("more died meanwhile", func(t *testing.T) {
		t.Parallel()
		q := &fakeQueue{stats: outbox.Stats{Time: noon, Dead: 1}}
		q.fill(outbox.Dead, 2, 1)
		html := page(t, q)
		require.Equal(t, 2, strings.Count(html, entry))
		require.NotContains(t, html, "more")
	})
	t.Run("pending after a failure", func(t *testing.T) {
		t.Parallel()
		q := &fakeQueue{stats: outbox.Stats{Time: noon, Pending: 30}}
		q.fill(outbox.Pending, 10, 0)
		q.fill(outbox.Pending, 20, 2)
		html := page(t, q)
		require.Equal(t, 20, strings.Count(html, entry), "conversions without an attempt are not listed")
		require.NotContains(t, html, "There may be more.")
		require.Contains(t, html, `<td class="when">due now <span`)
		require.Contains(t, html, `<td class="when">in 1 min <span`)

		q.fill(outbox.Pending, 1, 1)
		html = page(t, q)
		require.Equal(t, 20, strings.Count(html, entry))
		require.Contains(t, html, "There may be more.")
	})
	t.Run("a million pending", func(t *testing.T) {
		t.Parallel()
		q := &fakeQueue{stats: outbox.Stats{Time: noon, Pending: 1_000_000}}
		q.fill(outbox.Pending, 5000, 0)
		require.NotContains(t, page(t, q), entry)
		require.LessOrEqual(t, q.yielded[outbox.Pending], 1001)
	})
}

func TestStatusWhenTheQueueCannotBeRead(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{statsErr: errors.New("database is locked\n\tgoroutine <1>")}
	w := ask(q, http.MethodGet, "/outbox")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "<li>The queue could not be read: database is locked goroutine &lt;1&gt;</li>")
	require.NotContains(t, w.Body.String(), "<dl")

	w = ask(q, http.MethodGet, "/outbox?format=json")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, `{"healthy":false,"problems":["The queue could not be read: database is locked goroutine \u003c1\u003e"]}`+"\n", w.Body.String())
}

func TestStatusWhenAListCannotBeRead(t *testing.T) {
	t.Parallel()
	q := &fakeQueue{stats: outbox.Stats{Time: noon, Dead: 5, Expired: 1, Pending: 1}, listErr: errors.New("disk I/O error")}
	q.fill(outbox.Dead, 2, 1)
	html := page(t, q)
	require.Contains(t, html, "<b>5</b>", "the figures are there")
	require.Contains(t, html, `<code>submission_1</code>`)
	require.Contains(t, html, "The list could not be read to its end: disk I/O error")
	require.Contains(t, html, "and 3 more")
	require.Equal(t, 2, strings.Count(html, "The list could not be read: disk I/O error"), "expired and pending")
}

// stuckQueue returns only when the context ends.
type stuckQueue struct{ outbox.Queue }

func (stuckQueue) Stats(ctx context.Context) (outbox.Stats, error) {
	<-ctx.Done()
	return outbox.Stats{}, ctx.Err()
}

func TestStatusOfAStuckDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := ask(stuckQueue{}, http.MethodGet, "/outbox?format=json")
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "context deadline exceeded")
	})
}

func TestStatusEscapes(t *testing.T) {
	t.Parallel()
	const hostile = `</style></td><script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="alert(1)`
	q := &fakeQueue{stats: outbox.Stats{Time: noon, Dead: 1, Pending: 1, PausedSince: noon, PausedReason: hostile}, listErr: errors.New(hostile)}
	q.fill(outbox.Dead, 1, 1)
	q.fill(outbox.Pending, 1, 1)
	for _, entries := range q.entries {
		entries[0].Reason, entries[0].Tracking = hostile, sparkloop.Tracking{Offer: hostile, Submission: hostile}
	}
	for _, html := range []string{page(t, q), ask(&fakeQueue{statsErr: errors.New(hostile)}, http.MethodGet, "/").Body.String()} {
		require.Contains(t, html, "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&#34; onmouseover=&#34;alert(1)")
		require.NotContains(t, html, "<script")
		require.NotContains(t, html, "<img")
		require.NotContains(t, html, `" onmouseover`)
		require.Equal(t, 1, strings.Count(html, "</style>"))
	}
}

func TestStatusHeaders(t *testing.T) {
	t.Parallel()
	html := page(t, &fakeQueue{stats: outbox.Stats{Time: noon}})
	_, rest, _ := strings.Cut(html, "<style>")
	css, _, found := strings.Cut(rest, "</style>")
	require.True(t, found)
	hash := sha256.Sum256([]byte(css))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	for _, external := range []string{"<script", "<link", "style=", "src=", "url(", "@import", "http:", "https:"} {
		require.NotContains(t, html, external, "the policy forbids it")
	}

	for target, method := range map[string]string{"/": http.MethodGet, "/?format=json": http.MethodGet, "/?format=xml": http.MethodGet, "/x": http.MethodPost} {
		h := ask(&fakeQueue{}, method, target).Header()
		require.Equal(t, want, h.Get("Content-Security-Policy"), target)
		require.Equal(t, "no-store", h.Get("Cache-Control"), target)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), target)
		require.Equal(t, "noindex", h.Get("X-Robots-Tag"), target)
	}
}

func TestStatusMethods(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := ask(nil, method, "/outbox")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"), method)
	}

	server := httptest.NewServer(outbox.StatusHandler(&fakeQueue{stats: outbox.Stats{Time: noon, LastDied: noon}}))
	defer server.Close()
	for query, want := range map[string]int{"": http.StatusOK, "?format=json": http.StatusServiceUnavailable} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, server.URL+query, nil)
		require.NoError(t, err)
		reply, err := server.Client().Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		assert.Equal(t, want, reply.StatusCode, query)
		assert.NotEmpty(t, reply.Header.Get("Content-Security-Policy"), query)
		assert.Empty(t, body, query)
	}
}

func TestStatusFormats(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/outbox":                    "text/html; charset=utf-8",
		"/outbox?format=":            "text/html; charset=utf-8",
		"/outbox?format=html":        "text/html; charset=utf-8",
		"/outbox?format=json&page=2": "application/json",
	} {
		w := ask(&fakeQueue{}, http.MethodGet, target)
		assert.Equal(t, http.StatusOK, w.Code, target)
		assert.Equal(t, want, w.Header().Get("Content-Type"), target)
	}
	for _, target := range []string{"/outbox?format=xml", "/outbox?format=JSON", "/outbox?format=%3Cb%3E"} {
		w := ask(nil, http.MethodGet, target)
		assert.Equal(t, http.StatusBadRequest, w.Code, target)
		assert.Equal(t, "unknown format: use json or html (the default)\n", w.Body.String())
		assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	}
}
