package sparkloop_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// handlerTime is the handler's deadline for a confirmation.
const handlerTime = 2 * time.Second

// checkout returns a shop's handler that confirms.
func checkout(c *sparkloop.Client, outcome func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, err := sparkloop.ParseTracking(r.URL.String())
		if err != nil {
			outcome(err)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), handlerTime)
		defer cancel()
		_, err = c.Conversions.Confirm(ctx, t)
		outcome(err)
	})
}

// The fake API fails in each of its ways, for the handler's whole time. The
// handler keeps its deadline, the error is right, and a later call confirms
// once.
func TestCheckoutWhileTheAPIFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault     sparklooptest.Fault
		says      string
		status    int
		is        error
		confirmed bool // by the call that failed
	}{
		"unavailable":       {sparklooptest.Status(503, `{"error":"try again after a short period"}`), "503 try again after a short period", 503, nil, false},
		"asks for patience": {sparklooptest.Status(503, "", "Retry-After", "30"), "the next try is in 30s, too late", 503, context.DeadlineExceeded, false},
		"limit":             {sparklooptest.Status(429, "", "Retry-After", "7"), "429 Too Many Requests", 429, sparkloop.ErrRateLimited, false},
		"wrong key":         {sparklooptest.Status(401, `{"error":"User not found!"}`), "401 User not found!", 401, sparkloop.ErrUnauthorized, false},
		"firewall":          {sparklooptest.Status(403, "<html>"), "403 Forbidden", 403, nil, false},
		"slow":              {sparklooptest.Delay(time.Minute), "context deadline exceeded", 0, context.DeadlineExceeded, false},
		"reset":             {sparklooptest.Reset(), "connection reset by peer", 0, nil, false},
		"answer lost":       {sparklooptest.LostAnswer(), "unexpected EOF", 0, nil, true},
		"body cut":          {sparklooptest.CutBody(), "unexpected EOF", 422, nil, true},
		"a page":            {sparklooptest.HTMLPage(), "200 OK: unexpected response: the answer is not a JSON object", 200, sparkloop.ErrUnexpectedResponse, false},
		"endless":           {sparklooptest.EndlessBody(), "the body is larger than 8 MiB", 200, sparkloop.ErrUnexpectedResponse, false},
		"redirect":          {sparklooptest.Redirect("https://elsewhere.example/"), "a redirect to elsewhere.example", 302, sparkloop.ErrUnexpectedResponse, false},
		"gone":              {sparklooptest.Status(404, "<html>"), "endpoint not found: tried ", 404, sparkloop.ErrEndpointNotFound, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sparklooptest.NewServer(t)
				c := s.Client(sparkloop.WithBackoff(100*time.Millisecond, time.Second))
				landing, tr := s.Click("", "https://shop.example/buy")
				var err error
				handler := checkout(c, func(e error) { err = e })
				buy := func() time.Duration {
					start := time.Now()
					handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, landing, nil))
					return time.Since(start)
				}

				s.Fail(tt.fault, -1)
				assert.LessOrEqual(t, buy(), handlerTime+50*time.Millisecond)
				require.ErrorContains(t, err, tt.says)
				assert.Equal(t, tt.status, asError(t, err).StatusCode)
				assert.True(t, sparkloop.Retryable(err))
				if tt.is != nil {
					require.ErrorIs(t, err, tt.is)
				}
				assert.Equal(t, tt.confirmed, s.Confirmed(tr))

				s.Fail(sparklooptest.Fault{}, 0)
				time.Sleep(time.Minute)
				buy()
				require.NoError(t, err)
				assert.True(t, s.Confirmed(tr))
				successes := 0
				for _, r := range s.Requests() {
					if r.Status == http.StatusOK && r.Path == "/api/v2/offers/"+tr.Offer+"/submissions/"+tr.Submission+"/conversion" {
						successes++
					}
				}
				if tt.status == 200 {
					successes-- // the page, which is no success
				}
				assert.LessOrEqual(t, successes, 1, "SparkLoop counted it once")
			})
		})
	}
}

// The same over real connections, where a lost answer stays lost.
func TestCheckoutOnARealConnection(t *testing.T) {
	t.Parallel()
	for _, fault := range []sparklooptest.Fault{
		sparklooptest.LostAnswer(), sparklooptest.Reset(), sparklooptest.CutBody(), sparklooptest.Status(503, ""), sparklooptest.Delay(time.Millisecond),
	} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			s := sparklooptest.NewServer(t)
			c, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(s.URL()), sparkloop.WithBackoff(1, 2))
			require.NoError(t, err)
			_, tr := s.Click("", "")
			s.Fail(fault, 3)
			_, err = c.Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err)
			assert.True(t, s.Confirmed(tr))
		})
	}
}

// 64 goroutines, one client, the API's real limit: not one 429, the first 120
// at once, 1,000 in at most 490 s.
func TestAThousandConfirmationsUnderTheRealLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const total, workers = 1000, 64
		s := sparklooptest.NewServer(t)
		c := s.Client(sparkloop.WithRateLimit(120, time.Minute), sparkloop.WithTimeout(time.Hour))
		work := make(chan sparkloop.Tracking, total)
		var all []sparkloop.Tracking
		for range total {
			_, tr := s.Click("", "")
			all = append(all, tr)
			work <- tr
		}
		close(work)
		start := time.Now()
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for tr := range work {
					_, err := c.Conversions.Confirm(t.Context(), tr)
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		took := time.Since(start)

		requests := s.Requests()
		require.Len(t, requests, total)
		for n, r := range requests {
			assert.Equal(t, http.StatusOK, r.Status)
			if n < 120 {
				assert.Equal(t, start, r.Time, "request %d", n)
			}
		}
		for _, tr := range all {
			assert.True(t, s.Confirmed(tr))
		}
		assert.LessOrEqual(t, took, 490*time.Second)
		t.Logf("1,000 confirmations took %s of the API's time, the first 120 none", took)
	})
}

// A call whose turn would come too late fails at once and sends nothing.
func TestNoSlotInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		c := s.Client(sparkloop.WithRateLimit(2, time.Minute))
		for range 2 {
			_, tr := s.Click("", "")
			_, err := c.Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err)
		}
		start := time.Now()
		_, tr := s.Click("", "")
		_, err := c.Conversions.Confirm(t.Context(), tr)
		assert.Zero(t, time.Since(start))
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, fmt.Sprintf("sparkloop: confirm %s: rate limited: no slot for a request in time: the next one is in 1m1s: context deadline exceeded", tr.Key()))
		assert.Zero(t, asError(t, err).StatusCode)
		assert.Len(t, s.Requests(), 2)

		// A copy shares the limit, unless it has its own.
		copied, err := c.With(sparkloop.WithRetries(0))
		require.NoError(t, err)
		_, err = copied.Conversions.Confirm(t.Context(), tr)
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		own, err := c.With(sparkloop.WithRateLimit(5, time.Minute))
		require.NoError(t, err)
		_, err = own.Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)
	})
}

// A 429 pauses every goroutine of the client and its copies.
func TestA429HoldsBackTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		c := s.Client(sparkloop.WithRateLimit(120, time.Minute), sparkloop.WithRetries(0), sparkloop.WithTimeout(time.Hour))
		_, first := s.Click("", "")
		s.Fail(sparklooptest.Status(429, "", "Retry-After", "25"), 1)
		_, err := c.Conversions.Confirm(t.Context(), first)
		require.ErrorIs(t, err, sparkloop.ErrRateLimited)
		wait, ok := sparkloop.RetryAfter(err)
		assert.True(t, ok)
		assert.Equal(t, 25*time.Second, wait)

		start := time.Now()
		_, err = c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		require.NoError(t, err)
		assert.Equal(t, 25*time.Second, time.Since(start))
	})
}

// A retry without a turn returns the error of the first attempt.
func TestNoSlotForARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		c := s.Client(sparkloop.WithRateLimit(1, time.Minute))
		_, tr := s.Click("", "")
		s.Fail(sparklooptest.LostAnswer(), 1)
		_, err := c.Conversions.Confirm(t.Context(), tr)
		require.NotErrorIs(t, err, sparkloop.ErrRateLimited)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, asError(t, err).Attempts)
		assert.True(t, s.Confirmed(tr))
	})
}
