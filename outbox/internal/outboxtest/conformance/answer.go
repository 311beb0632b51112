package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// answering tests the state of a conversion after each answer of SparkLoop.
func answering() []story {
	return []story{
		{"LostAnswerIsConfirmedOnce", lostAnswer},
		{"ConfirmedBeforeIsConfirmed", confirmedBefore},
		{"FinalAnswerIsDead", finalAnswer},
		{"FailuresThatPassAreTriedAgain", failuresThatPass},
		{"RetryAfterIsKept", retryAfter},
		{"LongestIdsAreKeptWhole", longestIDs},
		{"OneThatAlwaysFailsHoldsUpNobody", alwaysFails},
		{"TwoThatAlwaysFailHoldUpNobody", twoAlwaysFail},
		{"ALateYesReplacesANo", lateYes},
		{"ALateNoReplacesNothing", lateNo},
		{"AnAnswerIsForItsConversionAlone", restored},
	}
}

func lostAnswer(w *world) {
	p := w.open(outbox.Options{})
	w.api.Fail(sparklooptest.LostAnswer(), 1)
	t := w.click()
	p.enqueue(t)
	e := p.become(t, outbox.Confirmed)
	assert.Equal(w.t, 2, e.Attempts)
	assert.Contains(w.t, e.Reason, "must be unique")
	assert.Zero(w.t, w.wire.answers(200), "the only success was lost")
	p.tells(1, 0)
}

func confirmedBefore(w *world) {
	p := w.open(outbox.Options{})
	t := w.click()
	_, err := p.Client().Conversions.Confirm(w.ctx(), t)
	require.NoError(w.t, err)
	p.enqueue(t)
	assert.Equal(w.t, 1, p.become(t, outbox.Confirmed).Attempts)
}

func finalAnswer(w *world) {
	p := w.open(outbox.Options{})
	lead := w.api.AddOffer(sparkloop.Offer{ConversionType: sparkloop.ConversionLead})
	_, leadClick := w.api.Click(lead.UUID, "")
	noOffer, odd := w.click(), w.click()
	noOffer.Offer = "offer_of_nobody"
	w.wire.say(odd, 422, `{"error":"The campaign has ended"}`)
	// An unknown refusal is final once the address is proven.
	first := w.click()
	p.enqueue(first)
	p.become(first, outbox.Confirmed)
	all := map[sparkloop.Tracking]string{
		w.unknown(): "Submission not found",
		noOffer:     "Offer not found",
		leadClick:   "Offer submission must be an action",
		odd:         "The campaign has ended",
	}
	before := make(map[sparkloop.Tracking]outbox.Entry)
	for t, words := range all {
		p.enqueue(t)
		e := p.become(t, outbox.Dead)
		assert.Contains(w.t, e.Reason, words)
		assert.Equal(w.t, 1, e.Attempts)
		assert.Zero(w.t, e.DueAt)
		assert.WithinRange(w.t, e.FinishedAt, e.EnqueuedAt, w.now())
		before[t] = e
	}

	w.pass(70 * day) // longer than confirmed conversions are stored
	p.settle()
	assert.Len(w.t, p.list(outbox.Dead), len(all))
	p.tells(2, len(all))
	_, _, paused := p.told()
	assert.Empty(w.t, paused, "a refusal is an answer and pauses nothing")
	for t := range all {
		assert.Equal(w.t, before[t], p.find(t))
		assert.Equal(w.t, 1, w.wire.count(t))
		assert.Equal(w.t, 1, p.log.warnings(t.Key()), "a person is warned once")
	}
}

func failuresThatPass(w *world) {
	p := w.open(outbox.Options{})
	for _, f := range []sparklooptest.Fault{
		sparklooptest.Reset(), sparklooptest.CutBody(), sparklooptest.HTMLPage(), sparklooptest.Redirect("https://elsewhere.example/"),
		sparklooptest.Status(500, ""), sparklooptest.Status(503, "busy"), sparklooptest.Status(429, ""),
		sparklooptest.Status(403, "<h1>Forbidden</h1>"),
		sparklooptest.Status(408, ""), sparklooptest.Status(501, ""), sparklooptest.Status(400, "<h1>Bad Request</h1>"),
	} {
		w.api.Fail(f, 2)
		t := w.click()
		p.enqueue(t)
		e := p.become(t, outbox.Confirmed)
		if f.String() != sparklooptest.CutBody().String() { // after it the conversion is already confirmed
			assert.Equal(w.t, 3, e.Attempts, f)
		}
		assert.True(w.t, w.api.Confirmed(t))
	}
	_, died, paused := p.told()
	assert.Empty(w.t, died)
	assert.Empty(w.t, paused, "the failure of a single conversion is no reason to pause")
}

func retryAfter(w *world) {
	p := w.open(outbox.Options{RetryMin: 10 * time.Millisecond, RetryMax: time.Hour})
	soon, late := w.click(), w.click()
	w.api.Fail(sparklooptest.Status(503, "", "Retry-After", "1800"), 1)
	asked := w.now()
	p.enqueue(soon)
	e := p.until(soon, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts == 1 })
	assert.WithinRange(w.t, e.DueAt, asked.Add(29*time.Minute), w.now().Add(31*time.Minute))

	p.settle() // a success in between: two equal failures in a row would pause the queue
	w.api.Fail(sparklooptest.Status(503, "", "Retry-After", "86400"), 1)
	asked = w.now()
	p.enqueue(late)
	e = p.until(late, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts == 1 })
	assert.WithinRange(w.t, e.DueAt, asked.Add(30*time.Minute), w.now().Add(61*time.Minute), "RetryMax is the most")

	assert.Equal(w.t, 1, w.wire.count(soon))
	w.pass(31 * time.Minute)
	p.become(soon, outbox.Confirmed)
	w.pass(31 * time.Minute)
	p.become(late, outbox.Confirmed)
}

func longestIDs(w *world) {
	p := w.open(outbox.Options{})
	w.fail(sparklooptest.Status(404, "")) // the error names each tried address
	t := w.click()
	t.Offer, t.Submission = strings.Repeat("o", 128), strings.Repeat("s", 128)
	p.enqueue(t)
	e := p.until(t, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts > 0 })
	assert.Equal(w.t, t, e.Tracking)
	assert.True(w.t, utf8.ValidString(e.Reason))
	assert.Less(w.t, len(e.Reason), 4096)
	w.recover()
	p.become(t, outbox.Dead)
}

func alwaysFails(w *world) {
	p := w.open(outbox.Options{})
	bad := w.click()
	w.wire.say(bad, 500, `{"error":"Internal Server Error"}`)
	p.enqueue(bad)
	for range 5 {
		p.enqueue(w.clicks(4)...)
		n := w.wire.count(bad)
		w.until("it is retried", func() bool { return w.wire.count(bad) > n })
	}
	w.until("the others are confirmed", func() bool { return p.stats().Confirmed == 20 })
	_, died, paused := p.told()
	assert.Empty(w.t, died)
	assert.Empty(w.t, paused)
	assert.Zero(w.t, p.stats().PausedSince)

	w.pass(44 * day)
	n := w.wire.count(bad)
	w.until("it is retried", func() bool { return w.wire.count(bad) > n+1 })
	assert.Equal(w.t, outbox.Pending, p.find(bad).State)

	w.pass(2 * day)
	e := p.become(bad, outbox.Expired)
	assert.Contains(w.t, e.Reason, "500")
	assert.Greater(w.t, e.Attempts, 5)
	assert.LessOrEqual(w.t, e.Attempts, w.wire.count(bad))
	p.tells(20, 1)
	_, died, _ = p.told()
	assert.Equal(w.t, outbox.Expired, died[0].State)
	assert.Equal(w.t, 1, p.log.warnings(bad.Key()))
}

func twoAlwaysFail(w *world) {
	p := w.open(outbox.Options{})
	for range 2 {
		bad := w.click()
		w.wire.say(bad, 500, `{"error":"Internal Server Error"}`)
		p.enqueue(bad)
	}
	const rounds = 5
	for i := range rounds {
		t := w.click()
		p.enqueue(t)
		w.until(fmt.Sprintf("good conversion %d is confirmed", i+1), func() bool { return w.api.Confirmed(t) })
	}
	w.until("it is stored", func() bool { return p.stats().Confirmed == rounds })
	assert.Equal(w.t, 2, p.stats().Pending)
	assert.Zero(w.t, p.stats().Dead)
}

const no = `{"error":"Submission not found"}`

// late makes a process hold SparkLoop's answer about a conversion until release is
// called. Meanwhile another process may get another answer.
func (w *world) late(t sparkloop.Tracking) (p *process, release func()) {
	w.t.Helper()
	p = w.open(outbox.Options{Workers: 1}) // the only worker is busy then
	p.settle()
	held := make(chan struct{})
	p.line.set(func(l *line) { l.after = func(*http.Request) { <-held } })
	p.enqueue(t)
	w.until("the answer is on its way", func() bool { return w.wire.count(t) == 1 })
	return p, sync.OnceFunc(func() { close(held) })
}

func lateYes(w *world) {
	t := w.click()
	first, release := w.late(t)
	defer release()
	w.wire.say(t, 404, no)
	second := w.open(outbox.Options{})
	w.pass(takeover)
	second.become(t, outbox.Dead)
	release()
	e := second.become(t, outbox.Confirmed)
	assert.Contains(w.t, e.Reason, "tracked")
	assert.Zero(w.t, second.stats().Dead)
	first.tells(2, 0)
	second.tells(0, 1)
}

func lateNo(w *world) {
	t := w.click()
	w.wire.say(t, 404, no)
	first, release := w.late(t)
	defer release()
	w.wire.unsay(t)
	second := w.open(outbox.Options{})
	w.pass(takeover)
	e := second.become(t, outbox.Confirmed)
	release()
	first.close()
	assert.Equal(w.t, e, second.find(t))
	first.tells(1, 0)
}

// A restored database may have another conversion with the same ID.
func restored(w *world) {
	t, other := w.click(), w.click()
	first, release := w.late(t)
	defer release()
	require.NoError(w.t, w.db.Replace(w.ctx(), t, other))
	release()
	first.close()
	first.tells(1, 0)
	second := w.open(outbox.Options{Workers: -1})
	assert.Equal(w.t, outbox.Pending, second.find(other).State)
	second.absent(t)
}
