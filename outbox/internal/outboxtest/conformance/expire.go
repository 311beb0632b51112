package conformance

import (
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// expiring tests the 45 days. An answer that does not concern the conversion never
// expires it, however late.
func expiring() []story {
	stories := []story{
		{"NoAfterItsTimeIsExpired", noAfterItsTime},
		{"YesAfterItsTimeIsConfirmed", yesAfterItsTime},
		{"UnknownCaptureCountsFromEnqueueing", unknownCapture},
		{"OutageExpiresNothing", outageExpiresNothing},
	}
	for name, f := range map[string]sparklooptest.Fault{
		"BrokenConnection": sparklooptest.Reset(),
		"CutAnswer":        sparklooptest.CutBody(),
		"Page":             sparklooptest.HTMLPage(),
		"Redirect":         sparklooptest.Redirect("https://portal.example/"),
		"BadGateway":       sparklooptest.Status(502, "<h1>Bad Gateway</h1>"),
		"Unavailable":      sparklooptest.Status(503, `{"error":"Maintenance"}`),
		"GatewayTimeout":   sparklooptest.Status(504, ""),
		"Unauthorized":     sparklooptest.Status(401, `{"error":"User not found!"}`),
		"TooMany":          sparklooptest.Status(429, `{"error":"Too many requests"}`),
		"Firewall":         sparklooptest.Status(403, "<h1>Forbidden</h1>"),
		"UnknownRoute":     sparklooptest.Status(404, `{"status":404,"error":"Not Found"}`),
	} {
		stories = append(stories, story{"NothingExpiresFor" + name, func(w *world) { nothingExpires(w, f) }})
	}
	return stories
}

func noAfterItsTime(w *world) {
	p := w.open(outbox.Options{})
	late, early := aged(w.unknown(), 46*day), aged(w.unknown(), 44*day)
	p.enqueue(late, early)
	e := p.become(late, outbox.Expired)
	assert.Contains(w.t, e.Reason, "Submission not found")
	assert.NotZero(w.t, e.FinishedAt)
	assert.Zero(w.t, e.DueAt)
	p.become(early, outbox.Dead)
	p.tells(0, 2)
	assert.Equal(w.t, 1, p.log.warnings(late.Key()))
}

func yesAfterItsTime(w *world) {
	p := w.open(outbox.Options{})
	t := aged(w.click(), 100*day)
	p.enqueue(t)
	p.become(t, outbox.Confirmed)
}

func unknownCapture(w *world) {
	p := w.open(outbox.Options{})
	w.fail(sparklooptest.Reset())
	early, late := w.unknown(), w.unknown()
	early.CapturedAt, late.CapturedAt = time.Time{}, time.Time{}
	p.enqueue(late)
	w.pass(2 * day)
	p.enqueue(early)
	w.pass(44 * day)
	asked := w.wire.count(late)
	w.until("it is retried", func() bool { return w.wire.count(late) > asked+1 })
	assert.Equal(w.t, outbox.Pending, p.find(late).State)
	w.recover()
	assert.Equal(w.t, late, p.become(late, outbox.Expired).Tracking)
	assert.Equal(w.t, early, p.become(early, outbox.Dead).Tracking)
}

// outageExpiresNothing makes SparkLoop answer 500 to all requests. This does not
// concern the conversion that is the probe.
func outageExpiresNothing(w *world) {
	p := w.open(outbox.Options{})
	const all = 4
	w.pause(p, sparklooptest.Status(500, `{"error":"Internal Server Error"}`), all)
	tried := func() {
		n := w.wire.count()
		w.until("each is retried", func() bool { return w.wire.count() > n+2*all })
	}
	tried() // deliveries in progress when the pause began are not probes
	w.turn(46 * day)
	tried()
	assert.Equal(w.t, all, p.stats().Pending)
	w.recover()
	p.delivered(all)
}

// nothingExpires has a fault and conversions after their 45 days: first one, which
// pauses the queue only for a 401, then two.
func nothingExpires(w *world, f sparklooptest.Fault) {
	p := w.open(outbox.Options{})
	w.fail(f)
	no, yes := aged(w.unknown(), 46*day), aged(w.click(), 46*day)
	tried := func(more int) {
		n := w.wire.count()
		w.until("it is retried", func() bool { return w.wire.count() >= n+more })
	}
	p.enqueue(no)
	tried(6) // an unknown route costs four requests
	assert.Equal(w.t, outbox.Pending, p.find(no).State)
	p.enqueue(yes)
	tried(10)
	if s := p.stats(); s.Confirmed == 0 { // after a cut answer the conversion is already confirmed
		assert.Equal(w.t, 2, s.Pending)
	}
	_, died, _ := p.told()
	assert.Empty(w.t, died)

	w.recover()
	p.become(yes, outbox.Confirmed)
	p.become(no, outbox.Expired)
}
