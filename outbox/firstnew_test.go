package outbox_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// shelf implements Lookup. Other methods panic.
type shelf struct {
	outbox.Queue
	known  map[string]outbox.State
	fails  map[string]error
	asked  []string
	blocks bool
}

func (q *shelf) Lookup(ctx context.Context, t sparkloop.Tracking) (outbox.Entry, bool, error) {
	q.asked = append(q.asked, t.Key())
	if q.blocks {
		<-ctx.Done()
		return outbox.Entry{}, false, ctx.Err()
	}
	s, known := q.known[t.Key()]
	return outbox.Entry{Tracking: t, State: s}, known, q.fails[t.Key()]
}

func TestFirstNew(t *testing.T) {
	t.Parallel()
	click := func(submission string, age time.Duration) sparkloop.Tracking {
		return sparkloop.Tracking{Offer: "o", Submission: submission, CapturedAt: time.Now().Add(-age).UTC()}
	}
	row, cookie, old := click("row", time.Hour), click("cookie", 0), click("old", 46*24*time.Hour)
	timeless := sparkloop.Tracking{Offer: "o", Submission: "row"}
	test := click("test", 0)
	test.Test = true
	var unread, zero sparkloop.Tracking
	require.NoError(t, unread.Scan("v9.from.the.future"))
	bad := sparkloop.Tracking{Offer: "..", Submission: "s"}
	down := errors.New("the database is down")

	for name, tt := range map[string]struct {
		known map[string]outbox.State
		fails map[string]error
		ts    []sparkloop.Tracking
		want  sparkloop.Tracking
		err   error
		asked []string
	}{
		"nothing":                  {},
		"nothing usable":           {ts: []sparkloop.Tracking{zero, unread, bad, old}},
		"the first":                {ts: []sparkloop.Tracking{row, cookie}, want: row, asked: []string{"o/row"}},
		"skips what is not live":   {ts: []sparkloop.Tracking{zero, unread, bad, old, cookie}, want: cookie, asked: []string{"o/cookie"}},
		"pending is known":         {known: map[string]outbox.State{"o/row": outbox.Pending}, ts: []sparkloop.Tracking{row, cookie}, want: cookie, asked: []string{"o/row", "o/cookie"}},
		"confirmed is known":       {known: map[string]outbox.State{"o/row": outbox.Confirmed}, ts: []sparkloop.Tracking{row, cookie}, want: cookie, asked: []string{"o/row", "o/cookie"}},
		"dead is known":            {known: map[string]outbox.State{"o/row": outbox.Dead}, ts: []sparkloop.Tracking{row, cookie}, want: cookie, asked: []string{"o/row", "o/cookie"}},
		"expired is known":         {known: map[string]outbox.State{"o/row": outbox.Expired}, ts: []sparkloop.Tracking{row, cookie}, want: cookie, asked: []string{"o/row", "o/cookie"}},
		"the same in both, once":   {known: map[string]outbox.State{"o/row": outbox.Confirmed}, ts: []sparkloop.Tracking{row, timeless, row}, asked: []string{"o/row"}},
		"all known":                {known: map[string]outbox.State{"o/row": outbox.Dead, "o/cookie": outbox.Pending}, ts: []sparkloop.Tracking{row, cookie}, asked: []string{"o/row", "o/cookie"}},
		"a test hides no real one": {ts: []sparkloop.Tracking{test, cookie}, want: cookie, asked: []string{"o/cookie"}},
		"a test, if nothing else":  {known: map[string]outbox.State{"o/cookie": outbox.Pending}, ts: []sparkloop.Tracking{test, cookie}, want: test, asked: []string{"o/cookie", "o/test"}},
		"a failure":                {fails: map[string]error{"o/row": down}, ts: []sparkloop.Tracking{old, row, cookie}, want: row, err: down, asked: []string{"o/row"}},
		"a failure after a known one": {
			known: map[string]outbox.State{"o/row": outbox.Confirmed}, fails: map[string]error{"o/cookie": down},
			ts: []sparkloop.Tracking{row, cookie}, want: cookie, err: down, asked: []string{"o/row", "o/cookie"},
		},
	} {
		q := &shelf{known: tt.known, fails: tt.fails}
		got, err := outbox.FirstNew(t.Context(), q, tt.ts...)
		require.ErrorIs(t, err, tt.err, name)
		assert.Equal(t, tt.want, got, name)
		assert.Equal(t, tt.asked, q.asked, name)
	}
	ts := []sparkloop.Tracking{row, cookie}
	_, err := outbox.FirstNew(t.Context(), &shelf{known: map[string]outbox.State{"o/row": outbox.Pending}}, ts...)
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Tracking{row, cookie}, ts, "the caller's slice is unchanged")
}

func TestEnqueued(t *testing.T) {
	t.Parallel()
	known := sparkloop.Tracking{Offer: "o", Submission: "known"}
	q := &shelf{known: map[string]outbox.State{"o/known": outbox.Dead}, fails: map[string]error{}}
	ask := outbox.Enqueued(q)
	assert.True(t, ask(t.Context(), known))
	assert.False(t, ask(t.Context(), sparkloop.Tracking{Offer: "o", Submission: "new"}))
	q.fails["o/known"] = errors.New("down")
	assert.False(t, ask(t.Context(), known), "the stored click stays after an error")
}

func TestEnqueuedDoesNotHoldUpAPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		assert.False(t, outbox.Enqueued(&shelf{blocks: true})(t.Context(), sparkloop.Tracking{Offer: "o", Submission: "s"}))
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}
