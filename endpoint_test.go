package sparkloop_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// published are the four forms in which SparkLoop has published the endpoint.
var published = []struct{ base, leaf string }{
	{"/api/v2", "conversion"}, {"/v2", "conversion"}, {"/v2", "conversions"}, {"/api/v2", "conversions"},
}

// unknownRoutes are ways to say that there is no such route.
var unknownRoutes = map[string]sparklooptest.Fault{
	"an HTML 404":     sparklooptest.Status(404, "<!doctype html><h1>The page you were looking for doesn't exist.</h1>"),
	"an empty 404":    sparklooptest.Status(404, ""),
	"a 405":           sparklooptest.Status(405, `{"error":"Method Not Allowed"}`),
	"an empty 405":    sparklooptest.Status(405, "", "Allow", "GET"),
	"a generic 404":   sparklooptest.Status(404, `{"status":404,"error":"Not Found"}`),
	"a talkative 404": sparklooptest.Status(404, `{"error":"No route matches [POST]"}`),
}

// paths are the paths of the requests that a server got.
func paths(s *sparklooptest.Server) (paths []string) {
	for _, r := range s.Requests() {
		paths = append(paths, r.Path)
	}
	return paths
}

func TestTheEndpointIsFound(t *testing.T) {
	t.Parallel()
	for n, form := range published {
		for name, unknown := range unknownRoutes {
			t.Run(fmt.Sprintf("%s %s, else %s", form.base, form.leaf, name), func(t *testing.T) {
				t.Parallel()
				s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint(form.base, form.leaf), sparklooptest.WithUnknownRoute(unknown))
				c := s.Client(sparkloop.WithRetries(0))
				for i := range 3 {
					_, tr := s.Click("", "")
					confirmation, err := c.Conversions.Confirm(t.Context(), tr)
					require.NoError(t, err)
					assert.False(t, confirmation.AlreadyConfirmed)
					assert.True(t, s.Confirmed(tr))
					assert.Len(t, s.Requests(), n+1+i, "found once, then known")
				}
				// The base goes for the offers as well.
				before := len(s.Requests())
				_, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
				require.NoError(t, err)
				assert.Equal(t, form.base+"/offers", paths(s)[before])
				assert.Len(t, s.Requests(), before+1)

				// A copy knows what the client found, one with another base does not.
				copied, err := c.With(sparkloop.WithTimeout(time.Minute))
				require.NoError(t, err)
				_, tr := s.Click("", "")
				_, err = copied.Conversions.Confirm(t.Context(), tr)
				require.NoError(t, err)
				assert.Len(t, s.Requests(), before+2)
			})
		}
	}
}

func TestTheBaseThatOffersFoundIsTriedFirst(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversions"))
	c := s.Client()
	_, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.NoError(t, err)
	_, tr := s.Click("", "")
	_, err = c.Conversions.Confirm(t.Context(), tr)
	require.NoError(t, err)
	at := "/offers/" + tr.Offer + "/submissions/" + tr.Submission
	assert.Equal(t, []string{"/api/v2/offers", "/v2/offers", "/v2" + at + "/conversion", "/v2" + at + "/conversions"}, paths(s))
}

func TestARefusalProvesTheEndpointToo(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"))
	lead := s.AddOffer(sparkloop.Offer{ConversionType: sparkloop.ConversionLead})
	c := s.Client()
	_, tr := s.Click(lead.UUID, "")
	_, err := c.Conversions.Confirm(t.Context(), tr)
	require.ErrorIs(t, err, sparkloop.ErrNotActionOffer)
	assert.Equal(t, 2, asError(t, err).Attempts, "with the probe")
	_, err = c.Conversions.Confirm(t.Context(), sparkloop.Tracking{Offer: "x", Submission: "y"})
	require.ErrorIs(t, err, sparkloop.ErrOfferNotFound)
	assert.Len(t, s.Requests(), 3)
}

func TestNoEndpoint(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v9", "conversion"))
	_, err := s.Client().Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
	at := confirmPath
	require.EqualError(t, err, "sparkloop: confirm offer_1234abcd/submission_1234abcd: 404 Not Found: endpoint not found: tried "+
		guide+at+", "+reference+at+", "+reference+at+"s, "+guide+at+"s (4 attempts)")
	assert.True(t, sparkloop.Retryable(err))
	assert.Equal(t, 404, asError(t, err).StatusCode)

	_, err = s.Client().Offers.List(t.Context(), sparkloop.ListOffersParams{Page: 2})
	require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
	require.ErrorContains(t, err, "tried "+guide+"/offers?page=2, "+reference+"/offers?page=2")

	// A pinned base leaves only the spelling open.
	pinned, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(s.URL()))
	require.NoError(t, err)
	_, err = pinned.Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
	assert.Equal(t, 2, asError(t, err).Attempts)
}

// What says nothing about the route ends the search and is returned; the next
// call searches on.
func TestWhatProvesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range []sparklooptest.Fault{
		sparklooptest.Status(401, `{"error":"User not found!"}`), sparklooptest.Status(429, ""), sparklooptest.Status(503, ""),
		sparklooptest.Status(403, "<html>"), sparklooptest.Redirect("https://elsewhere.example/"), sparklooptest.HTMLPage(), sparklooptest.Reset(),
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"))
			c := s.Client(sparkloop.WithRetries(0))
			_, tr := s.Click("", "")
			s.Fail(f, 1)
			_, err := c.Conversions.Confirm(t.Context(), tr)
			require.Error(t, err)
			assert.NotErrorIs(t, err, sparkloop.ErrEndpointNotFound)
			assert.Equal(t, 1, asError(t, err).Attempts)
			_, err = c.Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err)
			assert.Len(t, s.Requests(), 3)
		})
	}
}

func TestAColdStartOfFiftyGoroutines(t *testing.T) {
	t.Parallel()
	for n, form := range published {
		t.Run(form.base+" "+form.leaf, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint(form.base, form.leaf))
				s.Fail(sparklooptest.Delay(100*time.Millisecond), -1)
				c := s.Client(sparkloop.WithRetries(0))
				var wg sync.WaitGroup
				for range 50 {
					_, tr := s.Click("", "")
					wg.Go(func() {
						_, err := c.Conversions.Confirm(t.Context(), tr)
						assert.NoError(t, err)
						assert.True(t, s.Confirmed(tr))
					})
				}
				start := time.Now()
				wg.Wait()
				assert.Len(t, s.Requests(), n+50, "one goroutine asked for all")
				assert.Equal(t, time.Duration(n+2)*100*time.Millisecond, time.Since(start), "then all went at once")
			})
		})
	}
}

func TestWaitingForTheEndpointEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		s.Fail(sparklooptest.Delay(8*time.Second), -1)
		c := s.Client()
		_, first := s.Click("", "")
		_, second := s.Click("", "")
		go c.Conversions.Confirm(t.Context(), first) //nolint:errcheck // the one that searches
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Conversions.Confirm(ctx, second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "waiting for another call to find the endpoint")
		e := asError(t, err)
		assert.Zero(t, e.StatusCode)
		assert.Zero(t, e.Attempts, "nothing was sent")
		require.NoError(t, s.WaitConfirmed(t.Context(), first))
	})
}

// switching is an API whose server can be exchanged.
type switching struct {
	mu sync.Mutex
	to http.RoundTripper
}

func (s *switching) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	return to.RoundTrip(r)
}

func TestAFormThatWorkedGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/api/v2", "conversion"))
		after := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversions"))
		rt := &switching{to: before.Transport()}
		c := before.Client(sparkloop.WithHTTPClient(&http.Client{Transport: rt}))
		_, tr := before.Click("", "")
		_, err := c.Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)

		rt.to = after.Transport()
		_, tr = after.Click("", "")
		_, err = c.Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)
		assert.Len(t, after.Requests(), 3, "the lost form and two others")

		// Back within the minute: the search does not start again yet, and says so.
		rt.to = before.Transport()
		_, tr = before.Click("", "")
		_, err = c.Conversions.Confirm(t.Context(), tr)
		require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
		assert.True(t, sparkloop.Retryable(err))
		assert.Equal(t, 1, asError(t, err).Attempts)
		time.Sleep(time.Minute)
		_, err = c.Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)
	})
}

func TestAnOdd404OnAProvenForm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/api/v2", "conversion"))
		c := s.Client()
		confirm := func() error {
			_, tr := s.Click("", "")
			_, err := c.Conversions.Confirm(t.Context(), tr)
			return err
		}
		require.NoError(t, confirm())

		// With a message of its own it is an answer about this conversion.
		for _, status := range []int{404, 405} {
			s.Fail(sparklooptest.Status(status, `{"error":"This campaign has ended"}`), 1)
			err := confirm()
			assert.False(t, sparkloop.Retryable(err))
			assert.NotErrorIs(t, err, sparkloop.ErrEndpointNotFound)
			assert.Equal(t, 1, asError(t, err).Attempts)
		}

		// A bare one starts a search, which here finds nothing else.
		s.Fail(sparklooptest.Status(404, ""), 1)
		err := confirm()
		require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
		assert.True(t, sparkloop.Retryable(err))
		assert.Equal(t, 4, asError(t, err).Attempts)
		require.NoError(t, confirm(), "the proven form is still known")

		// Not more than once a minute, however many there are.
		before := len(s.Requests())
		s.Fail(sparklooptest.Status(404, `{"status":404,"error":"Not Found"}`), 20)
		for range 20 {
			require.ErrorIs(t, confirm(), sparkloop.ErrEndpointNotFound)
		}
		assert.Len(t, s.Requests(), before+20)
		time.Sleep(time.Minute)
		s.Fail(sparklooptest.Status(404, ""), 1)
		require.ErrorIs(t, confirm(), sparkloop.ErrEndpointNotFound)
		assert.Len(t, s.Requests(), before+24)
		require.NoError(t, confirm())
	})
}

func TestABasePathIsKept(t *testing.T) {
	t.Parallel()
	var got []string
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.String())
		return jsonResponder(200, `{}`)(r)
	})
	for _, base := range []string{"https://dash.sparkloop.app/api/v2", "https://proxy.example/a%2Fb/v2/", "http://fake:8080"} {
		c := newClient(t, rt, sparkloop.WithBaseURL(base))
		_, err := c.Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSuffix(base, "/")+confirmPath, got[len(got)-1])
	}
	assert.Len(t, got, 3)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Rails says it like this where a route is gone, also on a form that worked.
func TestARouteThatIsGoneIsNoFinalAnswer(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/api/v2", "conversion"))
	c := s.Client()
	_, tr := s.Click("", "")
	_, err := c.Conversions.Confirm(t.Context(), tr)
	require.NoError(t, err)
	s.Fail(sparklooptest.Status(404, `{"error":"No route matches [POST] \"/api/v2/offers\""}`), 4)
	_, err = c.Conversions.Confirm(t.Context(), tr)
	require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
	assert.True(t, sparkloop.Retryable(err))
}

// A probe that was answered, then nothing more: the answer is still told.
func TestASearchKeepsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"))
	_, tr := s.Click("", "")
	s.Fail(sparklooptest.Status(404, "<html>"), 1)
	s.Fail(sparklooptest.Reset(), -1)
	_, err := s.Client().Conversions.Confirm(t.Context(), tr)
	e := asError(t, err)
	assert.Equal(t, 404, e.StatusCode)
	assert.Equal(t, 5, e.Attempts)
	require.ErrorContains(t, err, "connection reset by peer")

	s.Fail(sparklooptest.Fault{}, 0)
	_, err = s.Client(sparkloop.WithRateLimit(1, time.Minute)).Conversions.Confirm(t.Context(), tr)
	require.NotErrorIs(t, err, sparkloop.ErrRateLimited, "something was sent")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, 404, asError(t, err).StatusCode)
}
