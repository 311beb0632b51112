package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
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

// story is an API and two processes on one row.
type story struct {
	t        *testing.T
	api      *sparklooptest.Server
	row      *memory
	one, two *delivery.Policy
	log      bytes.Buffer
	paused   []error
	clicks   int64
}

func tell(t *testing.T, two func(api *sparklooptest.Server) *sparkloop.Client) *story {
	s := &story{t: t, api: sparklooptest.NewServer(t, sparklooptest.WithRateLimit(0, 0)), row: new(memory)}
	o := outbox.Options{
		Logger:   slog.New(slog.NewTextHandler(&s.log, nil)),
		OnPaused: func(reason error) { s.paused = append(s.paused, reason) },
	}
	s.one = process(t, s.row, proven(t, s.api), o)
	s.two = process(t, s.row, two(s.api), o)
	return s
}

func same(api *sparklooptest.Server) *sparkloop.Client { return api.Client() }

// fresh returns a new conversion.
func (s *story) fresh() outbox.Entry {
	s.clicks++
	_, tracking := s.api.Click("", "https://shop.example/")
	return entry(s.clicks, tracking)
}

func (s *story) sent(p *delivery.Policy, e outbox.Entry) bool {
	return deliver(s.t.Context(), s.t, p, e).Sent
}

func (s *story) stats(p *delivery.Policy) (stats outbox.Stats) {
	require.NoError(s.t, p.Paused(s.t.Context(), &stats))
	return stats
}

// untilProbe waits for the next probe's time.
func (s *story) untilProbe(p *delivery.Policy) time.Duration {
	s.t.Helper()
	began, e := time.Now(), s.fresh()
	for {
		plan, err := p.Plan(s.t.Context(), only(e))
		require.NoError(s.t, err)
		if plan.Probe != nil {
			return time.Since(began)
		}
		require.NotZero(s.t, plan.Wait, "it is not paused")
		time.Sleep(plan.Wait)
	}
}

func TestTheQueuePausesAndGoesOnByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Status(503, `{"error":"Overloaded"}`), -1)
		start := time.Now()
		require.True(t, s.sent(s.one, s.fresh()))
		assert.Zero(t, s.stats(s.one).PausedSince)
		require.True(t, s.sent(s.one, s.fresh()))
		assert.Len(t, s.paused, 1)
		for _, p := range []*delivery.Policy{s.one, s.two} {
			assert.True(t, start.Equal(s.stats(p).PausedSince))
			assert.Contains(t, s.stats(p).PausedReason, "503 Overloaded")
			assert.False(t, s.sent(p, s.fresh()), "in neither process")
		}

		for n := range 12 {
			wait := s.untilProbe(s.two)
			most := min(5*time.Minute, 5*time.Second<<n)
			assert.GreaterOrEqual(t, wait, most/2-time.Millisecond)
			assert.LessOrEqual(t, wait, most)
			sent := make(chan bool)
			for _, p := range []*delivery.Policy{s.one, s.two, s.one, s.two} {
				e := s.fresh()
				go func() { sent <- s.sent(p, e) }()
			}
			probes := 0
			for range 4 {
				if <-sent {
					probes++
				}
			}
			assert.Equal(t, 1, probes, "one at a time")
			assert.Equal(t, n >= 2, strings.Contains(s.log.String(), "outbox: paused"), "logged after three failed probes")
		}
		assert.Len(t, s.api.Requests(), 1+2+12)
		assert.True(t, start.Equal(s.stats(s.one).PausedSince))

		s.api.Fail(sparklooptest.Fault{}, 0)
		s.untilProbe(s.two)
		for range 3 {
			assert.True(t, s.sent(s.two, s.fresh()))
			assert.True(t, s.sent(s.one, s.fresh()))
		}
		assert.Zero(t, s.stats(s.one).PausedSince)
		assert.Len(t, s.paused, 1, "reported once")
		assert.Equal(t, 1, strings.Count(s.log.String(), "outbox: paused"))
		assert.Equal(t, 1, strings.Count(s.log.String(), "outbox: resumed"))
	})
}

func TestAProbeFailsForAnotherReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Status(503, ""), 2)
		s.api.Fail(sparklooptest.Reset(), -1)
		s.sent(s.one, s.fresh())
		s.sent(s.one, s.fresh())
		since := s.stats(s.one).PausedSince
		s.untilProbe(s.one)
		assert.True(t, s.sent(s.one, s.fresh()))
		assert.Equal(t, since, s.stats(s.two).PausedSince)
		assert.NotContains(t, s.stats(s.two).PausedReason, "503")
		assert.Len(t, s.paused, 1)
	})
}

func TestANoEndsThePauseToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Reset(), 2)
		s.sent(s.one, s.fresh())
		s.sent(s.one, s.fresh())
		s.untilProbe(s.one)
		v := deliver(t.Context(), t, s.one, entry(99, sparkloop.Tracking{Offer: "offer_x", Submission: "submission_y"}))
		assert.Equal(t, outbox.Dead, v.Entry.State)
		assert.Zero(t, s.stats(s.one).PausedSince)
	})
}

// A verdict without an answer of SparkLoop does not end the pause. The next probe
// still comes.
func TestAProbeThatIsLostIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Reset(), 2)
		s.sent(s.one, s.fresh())
		s.sent(s.one, s.fresh())
		s.untilProbe(s.one)
		s.api.Fail(sparklooptest.Status(429, ""), 1)
		assert.True(t, s.sent(s.one, s.fresh()))
		assert.NotZero(t, s.stats(s.one).PausedSince)
		assert.LessOrEqual(t, s.untilProbe(s.one), 20*time.Second)
		assert.True(t, s.sent(s.two, s.fresh()))
		assert.Zero(t, s.stats(s.one).PausedSince)
	})
}

func TestOneThatAlwaysFailsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		poison := s.fresh()
		for range 50 {
			s.api.Fail(sparklooptest.Status(500, ""), 1)
			v := deliver(t.Context(), t, s.one, poison)
			poison = v.Entry
			require.True(t, v.Sent)
			if poison.Attempts%10 == 0 {
				require.True(t, s.sent(s.one, s.fresh()))
			}
		}
		assert.Zero(t, s.stats(s.one).PausedSince)
		assert.Empty(t, s.paused)
	})
}

// of returns a new conversion of an offer.
func (s *story) of(offer string) outbox.Entry {
	s.clicks++
	_, tracking := s.api.Click(offer, "https://shop.example/")
	return entry(s.clicks, tracking)
}

// pauseOffer makes two conversions of an offer fail. Then another offer works, so
// only the first offer stays paused.
func (s *story) pauseOffer(offer string) {
	s.t.Helper()
	s.api.Fail(sparklooptest.Status(500, ""), 2)
	require.True(s.t, s.sent(s.one, s.of(offer)))
	require.True(s.t, s.sent(s.one, s.of(offer)))
	require.NotZero(s.t, s.stats(s.two).PausedSince)
	s.untilProbe(s.one)
	require.True(s.t, s.sent(s.one, s.fresh()))
	require.Zero(s.t, s.stats(s.two).PausedSince)
}

func TestAnOfferIsPausedForAllProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		broken := s.api.AddOffer(sparkloop.Offer{}).UUID
		s.pauseOffer(broken)
		for _, p := range []*delivery.Policy{s.one, s.two} {
			v := p.Deliver(t.Context(), s.of(broken), nil)
			assert.False(t, v.Sent)
			assert.False(t, v.Woken)
			assert.True(t, s.sent(p, s.fresh()))
		}
		time.Sleep(time.Minute)
		v := deliver(t.Context(), t, s.two, s.of(broken))
		assert.True(t, v.Sent)
		assert.True(t, v.Woken)
		for _, p := range []*delivery.Policy{s.one, s.two} {
			v := p.Deliver(t.Context(), s.of(broken), nil)
			assert.True(t, v.Sent)
			assert.False(t, v.Woken)
		}
	})
}

// The row holds the pauses of 50 offers. The oldest is dropped for a new one.
func TestFiftyOffersArePaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		paused := func() []string {
			var row struct{ Offers map[string]json.RawMessage }
			require.NoError(t, json.Unmarshal([]byte(s.row.text), &row))
			return slices.Collect(maps.Keys(row.Offers))
		}
		start, rows := time.Now(), []string{}
		for n := range 49 {
			rows = append(rows, fmt.Sprintf(`"offer_%d":{"class":"500","since":%d,"probe":%d}`,
				n, start.Add(time.Duration(n)*time.Second).UnixMilli(), start.Add(5*time.Minute).UnixMilli()))
		}
		s.row.text = `{"offers":{` + strings.Join(rows, ",") + `}}`
		time.Sleep(time.Minute)
		one, two := s.api.AddOffer(sparkloop.Offer{}).UUID, s.api.AddOffer(sparkloop.Offer{}).UUID
		s.pauseOffer(one)
		assert.Len(t, paused(), 50)
		assert.Contains(t, paused(), "offer_0")
		s.pauseOffer(two)
		assert.Len(t, paused(), 50)
		assert.NotContains(t, paused(), "offer_0", "the oldest")
		assert.Subset(t, paused(), []string{"offer_1", "offer_48", two})
	})
}

// Of two processes that both plan a probe before its time, one sends it.
func TestEarlyProbesOfTwoProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Status(503, ""), -1)
		require.True(t, s.sent(s.one, s.fresh()))
		require.True(t, s.sent(s.one, s.fresh()))
		for range 6 {
			s.untilProbe(s.one)
			require.True(t, s.sent(s.one, s.fresh()))
		}
		time.Sleep(5 * time.Second) // the next probe of that offer is due after a minute or more
		var probes []*delivery.Probe
		for _, p := range []*delivery.Policy{s.one, s.two} {
			plan, err := p.Plan(t.Context(), only(s.of(s.api.AddOffer(sparkloop.Offer{}).UUID)))
			require.NoError(t, err)
			require.NotNil(t, plan.Probe)
			probes = append(probes, plan.Probe)
		}
		assert.True(t, s.one.Deliver(t.Context(), probes[0].Entry, probes[0]).Sent)
		assert.False(t, s.two.Deliver(t.Context(), probes[1].Entry, probes[1]).Sent)
		time.Sleep(5*time.Second - time.Nanosecond)
		assert.False(t, s.two.Deliver(t.Context(), probes[1].Entry, probes[1]).Sent)
		time.Sleep(time.Nanosecond)
		assert.True(t, s.two.Deliver(t.Context(), probes[1].Entry, probes[1]).Sent)
	})
}

// A process that does not deliver reports the rejected key of those that do, until
// the next success.
func TestARejectedKeyIsReportedByOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		watching := process(t, s.row, s.api.Client(), outbox.Options{Logger: quiet, Workers: -1})
		require.True(t, s.sent(s.two, s.fresh()))
		assert.Zero(t, s.stats(watching).PausedSince)
		s.api.Fail(sparklooptest.Status(401, ""), 1)
		require.True(t, s.sent(s.one, s.fresh()))
		assert.Equal(t, outbox.KeyRejected, s.stats(watching).PausedReason)
		s.untilProbe(s.one)
		s.api.Fail(sparklooptest.Status(401, `{"error":"User not found!"}`), 1)
		require.True(t, s.sent(s.one, s.fresh()))
		assert.Equal(t, outbox.KeyRejected+": User not found!", s.stats(watching).PausedReason)
		assert.Zero(t, s.stats(s.two).PausedSince)
		require.True(t, s.sent(s.two, s.fresh()))
		assert.Zero(t, s.stats(watching).PausedSince)
	})
}

func TestFailuresThatAreNotAlikeDoNotPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		for _, f := range []sparklooptest.Fault{
			sparklooptest.Status(500, ""), sparklooptest.Reset(), sparklooptest.HTMLPage(), sparklooptest.Status(403, "<html>"),
			sparklooptest.Status(408, ""), sparklooptest.Status(429, ""), sparklooptest.Status(429, ""),
		} {
			s.api.Fail(f, 1)
			require.True(t, s.sent(s.one, s.fresh()))
		}
		assert.Zero(t, s.stats(s.one).PausedSince)
	})
}

func TestA401PausesItsOwnProcessAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, func(api *sparklooptest.Server) *sparkloop.Client {
			c, err := sparkloop.New("old-key", sparkloop.WithRateLimit(0, 0), sparkloop.WithHTTPClient(inMemory(api)))
			require.NoError(t, err)
			return c
		})
		good, bad := s.one, s.two
		require.True(t, s.sent(bad, s.fresh()))
		assert.Len(t, s.paused, 1, "a second failure is not needed for a rejected key")
		require.ErrorIs(t, s.paused[0], sparkloop.ErrUnauthorized)
		assert.Contains(t, s.stats(bad).PausedReason, "401")
		assert.False(t, s.sent(bad, s.fresh()))
		assert.Zero(t, s.stats(good).PausedSince)
		assert.True(t, s.sent(good, s.fresh()))

		last := time.Duration(0)
		for range 10 {
			last = s.untilProbe(bad)
			v := deliver(t.Context(), t, bad, s.fresh())
			assert.True(t, v.Sent)
			assert.Less(t, time.Until(v.Entry.DueAt), 6*time.Second, "another process may have the right key")
			assert.False(t, s.sent(bad, s.fresh()), "one at a time")
		}
		assert.Greater(t, last, 2*time.Minute)

		// Other failures do not concern the key: the pause stays.
		for _, f := range []sparklooptest.Fault{sparklooptest.Reset(), sparklooptest.Status(500, "")} {
			s.untilProbe(bad)
			s.api.Fail(f, 1)
			assert.True(t, s.sent(bad, s.fresh()))
			assert.Contains(t, s.stats(bad).PausedReason, "401")
		}

		// SparkLoop accepts the key from now on.
		s.untilProbe(bad)
		s.api.Fail(sparklooptest.Status(200, `{"message":"Conversion tracked successfully"}`), 2)
		assert.True(t, s.sent(bad, s.fresh()))
		assert.Zero(t, s.stats(bad).PausedSince)
		assert.True(t, s.sent(bad, s.fresh()))
		assert.Equal(t, 1, strings.Count(s.log.String(), "outbox: resumed"))
	})
}

// An outage ends, and this process's key is rejected. The other processes resume.
func TestA401EndsThePauseOfAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Reset(), 2)
		s.api.Fail(sparklooptest.Status(401, ""), 1)
		s.sent(s.one, s.fresh())
		s.sent(s.one, s.fresh())
		s.untilProbe(s.one)
		s.sent(s.one, s.fresh())
		assert.NotZero(t, s.stats(s.one).PausedSince)
		assert.Zero(t, s.stats(s.two).PausedSince)
		assert.True(t, s.sent(s.two, s.fresh()))
	})
}

func TestAPauseOutlivesTheProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Reset(), 2)
		s.sent(s.one, s.fresh())
		s.sent(s.one, s.fresh())
		next := process(t, s.row, s.api.Client(), outbox.Options{Logger: quiet})
		assert.False(t, s.sent(next, s.fresh()))
		s.untilProbe(next)
		assert.True(t, s.sent(next, s.fresh()))
	})
}

func TestAPauseThatAWrongClockWroteIsProbedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		wrong := process(t, s.row, s.api.Client(), outbox.Options{
			Logger: quiet, Now: func() time.Time { return time.Now().AddDate(1, 0, 0) },
		})
		s.api.Fail(sparklooptest.Reset(), 2)
		s.sent(wrong, s.fresh())
		s.sent(wrong, s.fresh())
		assert.True(t, s.sent(s.one, s.fresh()))
		assert.Zero(t, s.stats(s.one).PausedSince)
	})
}

// With a wrong key and one conversion, the intervals between probes grow.
func TestASingleConversionAndAWrongKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Status(401, ""), -1)
		e := s.fresh()
		for range 10 {
			v := deliver(t.Context(), t, s.one, e)
			require.True(t, v.Sent)
			e = v.Entry
			s.untilProbe(s.one)
		}
		assert.Greater(t, s.untilProbe(s.one)+time.Since(s.api.Requests()[10].Time), 2*time.Minute)
		assert.Len(t, s.paused, 1)
	})
}

// expired returns a conversion beyond its 45 days.
func (s *story) expired() outbox.Entry {
	e := s.fresh()
	e.Tracking.CapturedAt = time.Now().Add(-46 * 24 * time.Hour)
	return e
}

func TestWhatExpiresBeginsNoPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, same)
		s.api.Fail(sparklooptest.Status(500, ""), 3)
		for range 3 {
			assert.Equal(t, outbox.Expired, deliver(t.Context(), t, s.one, s.expired()).Entry.State)
		}
		assert.Zero(t, s.stats(s.one).PausedSince)
		assert.Empty(t, s.paused)
	})
}

// In an outage only the last waiting conversion may expire: no other probe could
// end the pause.
func TestTheLastOneInAPauseExpires(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]sparklooptest.Fault{"all": sparklooptest.Status(500, ""), "own": sparklooptest.Status(401, "")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := tell(t, same)
				s.api.Fail(first, 2)
				s.sent(s.one, s.fresh())
				s.sent(s.one, s.fresh())
				s.api.Fail(sparklooptest.Fault{}, 0)
				s.api.Fail(sparklooptest.Status(500, ""), -1)
				last, other := s.expired(), s.expired()
				for _, e := range []outbox.Entry{last, other, last, other, last} {
					s.untilProbe(s.one)
					v := deliver(t.Context(), t, s.one, e)
					require.True(t, v.Sent)
					assert.Equal(t, outbox.Pending, v.Entry.State)
					assert.NotZero(t, s.stats(s.one).PausedSince)
				}
				s.untilProbe(s.one)
				assert.Equal(t, outbox.Expired, deliver(t.Context(), t, s.one, last).Entry.State)
				assert.Zero(t, s.stats(s.one).PausedSince)
				assert.Contains(t, s.log.String(), "outbox: resumed")
			})
		})
	}
}
