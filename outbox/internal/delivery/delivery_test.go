package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestWhatBecomesOfAConversion(t *testing.T) {
	t.Parallel()
	status := func(code int, body string) sparklooptest.Fault { return sparklooptest.Status(code, body) }
	for name, tt := range map[string]struct {
		fault             sparklooptest.Fault
		want, afterExpiry outbox.State
	}{
		"yes":                {status(200, `{"message":"Conversion tracked successfully"}`), outbox.Confirmed, outbox.Confirmed},
		"yes before":         {status(422, `{"error":"Offer submission must be unique"}`), outbox.Confirmed, outbox.Confirmed},
		"unknown submission": {status(404, `{"error":"Submission not found"}`), outbox.Dead, outbox.Expired},
		"not an action":      {status(422, `{"error":"Offer submission must be an action"}`), outbox.Dead, outbox.Expired},
		"some other no":      {status(422, `{"error":"Offer submission has expired"}`), outbox.Dead, outbox.Expired},
		"500":                {status(500, `{"error":"Internal"}`), outbox.Pending, outbox.Expired},
		"501":                {status(501, ""), outbox.Pending, outbox.Expired},
		"502":                {status(502, "<html>"), outbox.Pending, outbox.Pending},
		"503":                {status(503, `{"error":"Overloaded"}`), outbox.Pending, outbox.Pending},
		"504":                {status(504, ""), outbox.Pending, outbox.Pending},
		"wrong key":          {status(401, `{"error":"User not found!"}`), outbox.Pending, outbox.Pending},
		"firewall":           {status(403, "<html>"), outbox.Pending, outbox.Pending},
		"timeout":            {status(408, ""), outbox.Pending, outbox.Pending},
		"rate limit":         {status(429, `{"error":"Too many requests"}`), outbox.Pending, outbox.Pending},
		"no route":           {status(404, "<html>"), outbox.Pending, outbox.Pending},
		"redirect":           {sparklooptest.Redirect("https://elsewhere.example/"), outbox.Pending, outbox.Pending},
		"page":               {sparklooptest.HTMLPage(), outbox.Pending, outbox.Pending},
		"empty success":      {status(200, ""), outbox.Pending, outbox.Pending},
		"reset":              {sparklooptest.Reset(), outbox.Pending, outbox.Pending},
		"no answer in time":  {sparklooptest.Delay(time.Hour), outbox.Pending, outbox.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := sparklooptest.NewServer(t)
				_, tracking := api.Click("", "https://shop.example/")
				for _, age := range []time.Duration{0, 46 * 24 * time.Hour} {
					api.Fail(sparklooptest.Fault{}, 0)
					p := process(t, new(memory), proven(t, api), outbox.Options{Logger: quiet})
					api.Fail(tt.fault, -1)
					e := entry(7, tracking)
					e.Tracking.CapturedAt = time.Now().Add(-age)
					began := time.Now()
					v := deliver(t.Context(), t, p, e)
					want := tt.want
					if age > 0 {
						want = tt.afterExpiry
					}
					assert.Equal(t, want, v.Entry.State, age)
					assert.True(t, v.Sent)
					assert.Equal(t, 1, v.Entry.Attempts)
					assert.NotEmpty(t, v.Entry.Reason)
					assert.LessOrEqual(t, time.Since(began), 20*time.Second)
					if want == outbox.Pending {
						assert.Zero(t, v.Entry.FinishedAt)
						assert.WithinRange(t, v.Entry.DueAt, time.Now().Add(2*time.Second), time.Now().Add(time.Minute))
					} else {
						assert.Zero(t, v.Entry.DueAt)
						assert.Equal(t, time.Now(), v.Entry.FinishedAt)
					}
				}
			})
		})
	}
}

// While no address of the endpoint is proven, an unknown refusal may concern the
// address. After the 45 days the conversion expires.
func TestAnUnknownRefusalFromAnAddressThatIsNotProven(t *testing.T) {
	t.Parallel()
	for body, after := range map[string]outbox.State{`{"error":"Offer submission has expired"}`: outbox.Expired, "<html>": outbox.Pending} {
		api := sparklooptest.NewServer(t)
		api.Fail(sparklooptest.Status(422, body), -1)
		p := process(t, new(memory), api.Client(), outbox.Options{Logger: quiet})
		_, tracking := api.Click("", "")
		assert.Equal(t, outbox.Pending, p.Deliver(t.Context(), entry(1, tracking), nil).Entry.State)
		tracking.CapturedAt = time.Now().Add(-46 * 24 * time.Hour)
		assert.Equal(t, after, p.Deliver(t.Context(), entry(2, tracking), nil).Entry.State, body)
	}
}

func TestWithoutACaptureTimeItCountsFromEnqueueing(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	api.Fail(sparklooptest.Status(500, ""), -1)
	p := process(t, new(memory), api.Client(), outbox.Options{Logger: quiet})
	e := entry(1, sparkloop.Tracking{Offer: "offer_x", Submission: "submission_y"})
	e.EnqueuedAt = time.Now().Add(-45*24*time.Hour + time.Minute)
	assert.Equal(t, outbox.Pending, deliver(t.Context(), t, p, e).Entry.State)
	e.EnqueuedAt = time.Now().Add(-45 * 24 * time.Hour)
	assert.Equal(t, outbox.Expired, deliver(t.Context(), t, p, e).Entry.State)
}

func TestPausesGrowAndAreRandom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		api.Fail(sparklooptest.Status(500, ""), -1)
		p := process(t, new(memory), api.Client(), outbox.Options{Logger: quiet})
		_, tracking := api.Click("", "https://shop.example/")
		e := entry(1, tracking)
		seen := make(map[time.Duration]bool)
		for n := range 2000 {
			e = deliver(t.Context(), t, p, e).Entry
			pause := time.Until(e.DueAt)
			most := time.Hour
			if n < 10 {
				most = min(time.Hour, 5*time.Second<<n)
			}
			require.WithinRange(t, e.DueAt, time.Now().Add(most/2), time.Now().Add(most), n)
			seen[pause] = true
		}
		assert.Greater(t, len(seen), 1900)
		assert.Equal(t, 2000, e.Attempts)
	})
}

func TestRetryAfterGoesBeforeAShorterPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		p := process(t, new(memory), api.Client(), outbox.Options{Logger: quiet})
		_, tracking := api.Click("", "https://shop.example/")
		api.Fail(sparklooptest.Status(503, "", "Retry-After", "600"), 1)
		assert.Equal(t, time.Now().Add(10*time.Minute), deliver(t.Context(), t, p, entry(1, tracking)).Entry.DueAt)
		api.Fail(sparklooptest.Status(503, "", "Retry-After", "86400"), 1)
		assert.Equal(t, time.Now().Add(time.Hour), deliver(t.Context(), t, p, entry(1, tracking)).Entry.DueAt, "at most RetryMax")
	})
}

func TestACallThatIsBrokenOffIsDueAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		api.Fail(sparklooptest.Delay(10*time.Second), -1)
		p := process(t, new(memory), api.Client(), outbox.Options{Logger: quiet})
		_, tracking := api.Click("", "https://shop.example/")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		v := deliver(ctx, t, p, entry(1, tracking))
		assert.False(t, v.Sent)
		assert.Zero(t, v.Entry.Attempts)
		assert.Equal(t, outbox.Pending, v.Entry.State)
		assert.Equal(t, time.Now(), v.Entry.DueAt)
	})
}

// While the shared state cannot be read, nothing is sent.
func TestADatabaseThatFailsPutsDeliveryOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, row := sparklooptest.NewServer(t), new(memory)
		p := process(t, row, api.Client(), outbox.Options{Logger: quiet})
		_, tracking := api.Click("", "https://shop.example/")
		row.fail(errors.New("disk on fire"))
		v := p.Deliver(t.Context(), entry(1, tracking), nil)
		assert.False(t, v.Sent)
		assert.Equal(t, time.Now().Add(500*time.Millisecond), v.Entry.DueAt)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		v = p.Deliver(ctx, entry(1, tracking), nil)
		assert.False(t, v.Sent)
		assert.Equal(t, time.Now(), v.Entry.DueAt)
		assert.Empty(t, api.Requests())
	})
}

// A process that calls another API than the queue sends nothing and changes nothing.
func TestAProcessWithAnotherAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := new(memory)
		production, staging := sparklooptest.NewServer(t), sparklooptest.NewServer(t)
		for n, api := range []*sparklooptest.Server{production, staging} {
			p := process(t, row, api.Client(sparkloop.WithBaseURL(fmt.Sprintf("https://api%d.example", n))), outbox.Options{Logger: quiet})
			delivers, err := p.Join(t.Context())
			require.NoError(t, err)
			assert.Equal(t, n == 0, delivers)
			assert.Equal(t, n == 1, p.Holds(t.Context()))
			_, tracking := api.Click("", "https://shop.example/")
			e := entry(1, tracking)
			v := p.Deliver(t.Context(), e, nil)
			assert.Equal(t, n == 0, v.Sent)
			if n == 1 {
				assert.Equal(t, e, v.Entry)
			}
		}
		assert.Empty(t, staging.Requests())
	})
}

// Both documented hosts are SparkLoop's API.
func TestTheDocumentedHostsAreOneAPI(t *testing.T) {
	t.Parallel()
	row := new(memory)
	for _, base := range []string{sparkloop.DefaultBaseURL, "https://dash.sparkloop.app/api/v2", "https://api.sparkloop.app/v2"} {
		c, err := sparkloop.New("test-key", sparkloop.WithBaseURL(base))
		require.NoError(t, err)
		delivers, err := process(t, row, c, outbox.Options{Logger: quiet}).Join(t.Context())
		require.NoError(t, err)
		assert.True(t, delivers, base)
	}
}

func TestFlyingCountsDeliveries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0))
		api.Fail(sparklooptest.Delay(time.Second), 2)
		p := process(t, new(memory), api.Client(), outbox.Options{Logger: quiet})
		var all sync.WaitGroup
		for n := range int64(2) {
			_, tracking := api.Click("", "https://shop.example/")
			all.Go(func() { deliver(t.Context(), t, p, entry(n, tracking)) })
		}
		synctest.Wait()
		assert.Equal(t, 2, p.Flying())
		all.Wait()
		assert.Zero(t, p.Flying())
	})
}

// Waiting for a slot is neither an attempt nor a failure.
func TestOneThatFindsNoSlotIsDueWhenOneIsNear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		p := process(t, new(memory), api.Client(sparkloop.WithRateLimit(1, time.Minute)), outbox.Options{Logger: quiet})
		start := time.Now()
		for n := range int64(5) {
			_, tracking := api.Click("", "https://shop.example/")
			e := entry(n, tracking)
			v := p.Deliver(t.Context(), e, nil)
			assert.Equal(t, n == 0, v.Sent)
			if n > 0 {
				assert.Equal(t, start.Add(59*time.Second), v.Entry.DueAt)
				e.DueAt = v.Entry.DueAt
				assert.Equal(t, e, v.Entry)
				plan, err := p.Plan(t.Context(), only())
				require.NoError(t, err)
				assert.Equal(t, time.Until(v.Entry.DueAt), plan.Wait)
			}
		}
		var s outbox.Stats
		require.NoError(t, p.Paused(t.Context(), &s))
		assert.Zero(t, s.PausedSince)
	})
}

func TestStoredTellsTheLogAndTheHooks(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var told []string
	hook := func(name string) func(outbox.Entry) {
		return func(e outbox.Entry) {
			told = append(told, name+" "+string(e.State))
			panic("the hook's own")
		}
	}
	quiet := process(t, new(memory), sparklooptest.NewServer(t).Client(), outbox.Options{Logger: quiet})
	p := process(t, new(memory), sparklooptest.NewServer(t).Client(), outbox.Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), OnConfirmed: hook("OnConfirmed"), OnDead: hook("OnDead"),
	})
	assert.Zero(t, p.Delivered())
	for n, state := range []outbox.State{outbox.Pending, outbox.Confirmed, outbox.Dead, outbox.Expired} {
		e := entry(7, sparkloop.Tracking{Offer: "offer_x", Submission: "submission_y"})
		e.State, e.Reason, e.Attempts = state, "because", 3
		p.Stored(t.Context(), e)
		for range n {
			quiet.Stored(t.Context(), e)
		}
	}
	assert.Equal(t, outbox.Delivered{Confirmed: 1, Dead: 1, Expired: 1, Retried: 1}, p.Delivered(), "even if a hook panics")
	assert.Equal(t, outbox.Delivered{Confirmed: 1, Dead: 2, Expired: 3}, quiet.Delivered())
	assert.Equal(t, []string{"OnConfirmed confirmed", "OnDead dead", "OnDead expired"}, told)
	assert.Contains(t, log.String(), `level=WARN msg="sparkloop outbox: a conversion is dead" id=7 conversion=offer_x/submission_y attempts=3 reason=because`)
	assert.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
	assert.Equal(t, 3, strings.Count(log.String(), "panicked"))
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]outbox.Options{
		"outbox.Options.Workers: 1001":             {Workers: 1001},
		"outbox.Options.RetryMin: -1s is negative": {RetryMin: -time.Second},
		"outbox.Options.RetryMax: -1s is negative": {RetryMax: -time.Second},
		"outbox.Options.RetryMin and RetryMax":     {RetryMin: time.Minute, RetryMax: time.Second},
		"RetryMin must be at least 1ms":            {RetryMin: time.Nanosecond},
		"longer than 45 days":                      {RetryMax: 46 * 24 * time.Hour},
		"outbox.Options.Keep: -1h0m0s":             {Keep: -time.Hour},
		"outbox.Options.Keep: 24h0m0s":             {Keep: 24 * time.Hour},
		"outbox.Options.SourceEvery: -1h0m0s":      {SourceEvery: -time.Hour},
		"outbox.Options.SourceEvery: set Source":   {SourceEvery: time.Minute},
		"120h0m0s is not less than the 120h0m0s":   {Source: new(source).ask, SourceEvery: 5 * 24 * time.Hour, Keep: 6 * 24 * time.Hour},
		"the 1080h0m0s that a sweep goes back":     {Source: new(source).ask, SourceEvery: 46 * 24 * time.Hour},
	} {
		_, err := delivery.Complete(o)
		assert.ErrorContains(t, err, want)
	}
	o, err := delivery.Complete(outbox.Options{RetryMax: time.Second})
	require.NoError(t, err)
	assert.Equal(t, time.Second, o.RetryMin)
	o, err = delivery.Complete(outbox.Options{RetryMin: 2 * time.Hour})
	require.NoError(t, err)
	assert.Equal(t, 2*time.Hour, o.RetryMax)

	_, err = delivery.New(nil, o, new(memory))
	require.ErrorContains(t, err, "the client is nil")
	_, err = delivery.New(new(sparkloop.Client), o, new(memory))
	require.Error(t, err)
}
