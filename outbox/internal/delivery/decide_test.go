package delivery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// answering is an API that always returns the same answer.
type answering struct {
	status     int
	body, date string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if a.date != "" {
		header.Set("Date", a.date)
	}
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: header, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// failed returns a client's error for an answer.
func failed(t *testing.T, status int, body, date string) error {
	t.Helper()
	c, err := sparkloop.New("test-key", sparkloop.WithRetries(0), sparkloop.WithBaseURL("https://api.example"),
		sparkloop.WithHTTPClient(&http.Client{Transport: answering{status, body, date}}))
	assert.NoError(t, err)
	_, err = c.Conversions.Confirm(context.Background(), sparkloop.Tracking{Offer: "offer_x", Submission: "submission_y"})
	assert.Error(t, err)
	return err
}

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	broken, no := failed(t, 500, `{"error":"Internal"}`, ""), failed(t, 404, `{"error":"Submission not found"}`, "")
	away := failed(t, 503, "", "")
	before := failed(t, 500, `{"error":"Internal"}`, now.AddDate(0, 0, -46).Format(http.TimeFormat))
	after := failed(t, 500, `{"error":"Internal"}`, now.Add(time.Hour).Format(http.TimeFormat))
	for name, tt := range map[string]struct {
		age  time.Duration
		a    answer
		want outbox.State
	}{
		"a yes":                            {0, answer{message: "Conversion tracked successfully"}, outbox.Confirmed},
		"a late yes":                       {46 * day, answer{message: "Conversion tracked successfully"}, outbox.Confirmed},
		"a no":                             {0, answer{err: no}, outbox.Dead},
		"a late no":                        {45 * day, answer{err: no}, outbox.Expired},
		"a no a moment before the end":     {45*day - 1, answer{err: no}, outbox.Dead},
		"a late no in a pause":             {46 * day, answer{err: no, probe: true}, outbox.Expired},
		"a 500":                            {0, answer{err: broken}, outbox.Pending},
		"a late 500":                       {46 * day, answer{err: broken}, outbox.Expired},
		"a late 500 in a pause":            {46 * day, answer{err: broken, probe: true}, outbox.Pending},
		"the last one's late 500":          {46 * day, answer{err: broken, probe: true, alone: true}, outbox.Expired},
		"a late 503":                       {46 * day, answer{err: away}, outbox.Pending},
		"a late 500, SparkLoop's is early": {46 * day, answer{err: before}, outbox.Pending},
		"a late 500, SparkLoop's is later": {46 * day, answer{err: after}, outbox.Expired},
		"a 500, SparkLoop's is later":      {44 * day, answer{err: after}, outbox.Pending},
		"the network":                      {46 * day, answer{err: errors.New("reset")}, outbox.Pending},
	} {
		for _, captured := range []bool{true, false} {
			e := outbox.Entry{ID: 7, State: outbox.Pending, Attempts: 3, EnqueuedAt: now.Add(-tt.age), DueAt: now}
			if captured {
				e.Tracking.CapturedAt, e.EnqueuedAt = e.EnqueuedAt, now
			}
			got := decide(e, tt.a, now, time.Minute)
			want := e
			want.State, want.Attempts, want.Reason = tt.want, 4, tt.a.message
			if tt.a.err != nil {
				want.Reason = tt.a.err.Error()
			}
			if tt.want == outbox.Pending {
				want.DueAt = now.Add(time.Minute)
			} else {
				want.DueAt, want.FinishedAt = time.Time{}, now
			}
			assert.Equal(t, want, got, name)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	of := func(id int64, offer string, attempts int, ago, due time.Duration) outbox.Entry {
		return outbox.Entry{
			ID: id, Tracking: sparkloop.Tracking{Offer: offer, Submission: "s" + string(rune('0'+id))}, Attempts: attempts,
			EnqueuedAt: now.Add(-ago), DueAt: now.Add(due),
		}
	}
	oldA, newA := of(1, "a", 0, time.Hour, -time.Hour), of(2, "a", 0, time.Minute, -time.Minute)
	triedA, oftenA := of(3, "a", 1, time.Hour, time.Minute), of(4, "a", 5, time.Hour, -time.Hour)
	soonA, b, oftenB, c := of(5, "a", 1, time.Hour, time.Second), of(6, "b", 0, time.Hour, 0), of(7, "b", 9, time.Hour, time.Hour), of(8, "c", 3, time.Hour, 0)
	for name, tt := range map[string]struct {
		among []outbox.Entry
		tried []string
		last  string
		want  outbox.Entry
	}{
		"one":                                    {[]outbox.Entry{oftenA}, []string{"a"}, oftenA.Tracking.Key(), oftenA},
		"the newest that never failed":           {[]outbox.Entry{oldA, triedA, newA, oftenA}, []string{"a"}, "", newA},
		"another one than the last":              {[]outbox.Entry{oldA, triedA, newA}, []string{"a"}, newA.Tracking.Key(), oldA},
		"another one than the last, though worn": {[]outbox.Entry{oldA, oftenA}, []string{"a"}, oldA.Tracking.Key(), oftenA},
		"the fewest attempts, then the earliest": {[]outbox.Entry{oftenA, triedA, soonA}, []string{"a"}, "", soonA},
		"an offer that was not tried":            {[]outbox.Entry{newA, oftenB}, []string{"a"}, "", oftenB},
		"the offer tried longest ago":            {[]outbox.Entry{newA, b, c}, []string{"c", "b", "a"}, "", c},
		"the same time of enqueueing":            {[]outbox.Entry{oldA, of(9, "a", 0, time.Hour, -time.Hour)}, nil, "", of(9, "a", 0, time.Hour, -time.Hour)},
	} {
		got, ok := choose(tt.among, tt.tried, tt.last)
		assert.True(t, ok)
		assert.Equal(t, tt.want, got, name)
	}
	_, ok := choose(nil, nil, "")
	assert.False(t, ok)
}

func TestPick(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	fresh, late := &outbox.Entry{ID: 1}, &outbox.Entry{ID: 3}
	backlog := &outbox.Entry{ID: 2, EnqueuedAt: now.Add(-lifetime + day)}
	urgent := &outbox.Entry{ID: 2, EnqueuedAt: now.Add(-lifetime + day - 1)}
	share := func(h Heads) (n int) {
		for turn := range 100 {
			if h.Pick(turn, now) == h.Backlog {
				n++
			}
		}
		return n
	}
	assert.Equal(t, 10, share(Heads{Fresh: fresh, Backlog: backlog, Late: late}))
	assert.Equal(t, 50, share(Heads{Fresh: fresh, Backlog: urgent, Late: late}))
	assert.Equal(t, 100, share(Heads{Backlog: backlog, Late: late}))
	assert.Equal(t, fresh, Heads{Fresh: fresh, Late: late}.Pick(0, now))
	assert.Equal(t, late, Heads{Late: late}.Pick(1, now))
	assert.Nil(t, Heads{}.Pick(0, now))
}

func TestStreak(t *testing.T) {
	t.Parallel()
	e := func(n, attempts int) outbox.Entry {
		return outbox.Entry{Attempts: attempts, Tracking: sparkloop.Tracking{Offer: "offer_x", Submission: "s" + string(rune('a'+n))}}
	}
	var s streak
	assert.False(t, s.add(e(0, 0), "server error"))
	assert.False(t, s.add(e(0, 0), "server error"), "the same one")
	assert.False(t, s.add(e(1, 0), "no answer"), "another failure")
	assert.True(t, s.add(e(2, 0), "no answer"))

	s = streak{}
	for n := range 9 {
		assert.False(t, s.add(e(n, 1), "server error"), "it failed before")
		assert.False(t, s.add(e(n, 2), "server error"), "the same one")
	}
	assert.True(t, s.add(e(9, 1), "server error"))

	s = streak{}
	assert.False(t, s.add(e(0, 0), "server error"))
	for n := range 4 {
		assert.False(t, s.add(e(n+1, 1), "server error"), "a first failure counts five times")
	}
	assert.True(t, s.add(e(5, 1), "server error"))
}

// Slots are a second further apart in all than the window is long, or a quarter of a
// short window. A slot may be used until half of that time later.
func TestTheDistanceOfSlots(t *testing.T) {
	t.Parallel()
	l := newLimiter(nil, 120, time.Minute)
	assert.Equal(t, 61*time.Second/120, l.every)
	assert.Equal(t, 500*time.Millisecond, l.late)
	l = newLimiter(nil, 4, 2*time.Second)
	assert.Equal(t, 625*time.Millisecond, l.every)
	assert.Equal(t, 250*time.Millisecond, l.late)
}

// A backlog of 100,000 expires nearly as fast as the slots beside new conversions
// allow. The new ones do not wait for it, and none of it expires.
func TestPickFromABacklogOf100000(t *testing.T) {
	t.Parallel()
	const (
		all  = 100_000
		slot = 61 * time.Second / 120
	)
	for _, perMinute := range []int{6, 30, 50} {
		start := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
		each := time.Minute * 105 / 100 / time.Duration(118-perMinute)
		expire := func(n int) time.Time { return start.Add(time.Minute + time.Duration(n+1)*each) }
		var fresh []time.Time // of enqueueing
		now, sent, late, slowest := start, 0, 0, time.Duration(0)
		next := start
		for turn := 0; sent < all; turn++ {
			for ; !next.After(now); next = next.Add(time.Minute / time.Duration(perMinute)) {
				fresh = append(fresh, next)
			}
			h := Heads{Backlog: &outbox.Entry{EnqueuedAt: expire(sent).Add(-lifetime)}}
			if len(fresh) > 0 {
				h.Fresh = &outbox.Entry{EnqueuedAt: fresh[0]}
			}
			if h.Pick(turn, now) == h.Backlog {
				if now.After(expire(sent)) {
					late++
				}
				sent++
			} else {
				slowest = max(slowest, now.Sub(fresh[0]))
				fresh = fresh[1:]
			}
			now = now.Add(slot)
		}
		t.Logf("%d new ones a minute: the backlog is confirmed in %s, the slowest new one in %s", perMinute, now.Sub(start).Round(time.Minute), slowest.Round(time.Second))
		assert.Zero(t, late)
		assert.Less(t, slowest, 10*time.Minute)
		assert.Less(t, len(fresh), 10, "they do not pile up")
	}
}
