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

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// published are the four published forms of the endpoint.
var published = []struct{ base, leaf string }{
	{"/api/v2", "conversion"}, {"/v2", "conversion"}, {"/v2", "conversions"}, {"/api/v2", "conversions"},
}

// unknownRoutes are answers to an unknown route.
var unknownRoutes = map[string]sparklooptest.Fault{
	"an HTML 404":     sparklooptest.Status(404, "<!doctype html><h1>The page you were looking for doesn't exist.</h1>"),
	"an empty 404":    sparklooptest.Status(404, ""),
	"a 405":           sparklooptest.Status(405, `{"error":"Method Not Allowed"}`),
	"an empty 405":    sparklooptest.Status(405, "", "Allow", "GET"),
	"a generic 404":   sparklooptest.Status(404, `{"status":404,"error":"Not Found"}`),
	"a talkative 404": sparklooptest.Status(404, `{"error":"No route matches [POST]"}`),
}

// paths returns the paths of a server's requests.
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
				// The base applies to offers too.
				before := len(s.Requests())
				_, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
				require.NoError(t, err)
				assert.Equal(t, form.base+"/offers", paths(s)[before])
				assert.Len(t, s.Requests(), before+1)

				// A copy uses the form that the client found; a copy with
				// another base does not.
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

	// With a given base only the spelling is searched.
	pinned, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(s.URL()))
	require.NoError(t, err)
	_, err = pinned.Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
	assert.Equal(t, 2, asError(t, err).Attempts)
}

// An answer that proves nothing does not hide the form that works.
func TestTheSearchGoesOn(t *testing.T) {
	t.Parallel()
	unproven := map[string]sparklooptest.Fault{
		"HTML 200": sparklooptest.HTMLPage(), "empty 204": sparklooptest.Status(204, ""), "JSON that says no": sparklooptest.Status(200, `{"ok":false}`),
		"301": sparklooptest.Redirect("https://elsewhere.example/"), "308": sparklooptest.Status(308, ""),
	}
	for _, status := range []int{400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 421, 422, 423, 426, 431, 451, 499, 501, 505, 507, 520, 599} {
		unproven[fmt.Sprint(status, " with a message")] = sparklooptest.Status(status, `{"error":"API v1 is retired, use /v2"}`)
		unproven[fmt.Sprint(status, " with a page")] = sparklooptest.Status(status, "<html>")
	}
	for name, answer := range unproven {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"), sparklooptest.WithUnknownRoute(answer))
			c := s.Client(sparkloop.WithRetries(0))
			for i := range 3 {
				_, tr := s.Click("", "")
				_, err := c.Conversions.Confirm(t.Context(), tr)
				require.NoError(t, err)
				assert.Len(t, s.Requests(), 2+i)
			}
			_, err := s.Client(sparkloop.WithRetries(0)).Offers.List(t.Context(), sparkloop.ListOffersParams{})
			require.NoError(t, err)
		})
	}
}

// A temporary failure ends the search of this call. The next call searches
// again. After four failed searches the next begins with another form.
func TestAnAnswerAboutTheMomentEndsTheSearch(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]sparklooptest.Fault{
		"429": sparklooptest.Status(429, ""), "500": sparklooptest.Status(500, "<html>"), "502": sparklooptest.Status(502, ""),
		"503": sparklooptest.Status(503, ""), "504": sparklooptest.Status(504, `{"error":"x"}`), "no answer": sparklooptest.Reset(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"))
			c := s.Client(sparkloop.WithRetries(0))
			_, tr := s.Click("", "")
			s.Fail(answer, 1)
			_, err := c.Conversions.Confirm(t.Context(), tr)
			require.Error(t, err)
			assert.NotErrorIs(t, err, sparkloop.ErrEndpointNotFound)
			assert.Equal(t, 1, asError(t, err).Attempts)
			_, err = c.Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err)
			assert.Len(t, s.Requests(), 3)

			s = sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/v2", "conversion"), sparklooptest.WithUnknownRoute(answer))
			c = s.Client(sparkloop.WithRetries(0))
			_, tr = s.Click("", "")
			for range 4 {
				_, err = c.Conversions.Confirm(t.Context(), tr)
				require.Error(t, err)
			}
			_, err = c.Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err, "the working form is found")
			assert.Len(t, s.Requests(), 5)
		})
	}
}

// If no form is proven the error is the first answer, and for a minute a call is
// one request.
func TestNothingProven(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers []httpmock.Responder // of the four forms
		want    string
		is      error
		next    int // the form that is tried in the following minute
	}{
		"a wrong key": {[]httpmock.Responder{jsonResponder(401, `{"error":"User not found!"}`)}, "401 User not found! (4 attempts)", sparkloop.ErrUnauthorized, 0},
		"a wrong key, and a form that is none": {[]httpmock.Responder{jsonResponder(404, ``), jsonResponder(401, `{"error":"User not found!"}`)},
			"401 User not found! (4 attempts)", sparkloop.ErrUnauthorized, 1},
		"the first answer": {[]httpmock.Responder{jsonResponder(403, `{"error":"first"}`), jsonResponder(401, ``), jsonResponder(410, `{"error":"third"}`)},
			"403 first (4 attempts)", nil, 0},
		"a page": {[]httpmock.Responder{httpmock.NewStringResponder(200, "<title>Welcome\n to <b>"), jsonResponder(404, ``)},
			"200 OK: unexpected response: the answer is not a JSON object, answered by an HTML page \"Welcome to\" (4 attempts)", sparkloop.ErrUnexpectedResponse, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := httpmock.NewMockTransport()
				var seen []int
				for n, form := range published {
					answer := tt.answers[min(n, len(tt.answers)-1)]
					m.RegisterResponder(http.MethodPost, "https://api.sparkloop.app"+form.base+strings.TrimSuffix(confirmPath, "conversion")+form.leaf, func(r *http.Request) (*http.Response, error) {
						seen = append(seen, n)
						return answer(r)
					})
				}
				c := newClient(t, m)
				confirm := func() error {
					_, err := c.Conversions.Confirm(t.Context(), tracking)
					require.Error(t, err)
					if tt.is != nil {
						require.ErrorIs(t, err, tt.is)
					}
					assert.True(t, sparkloop.Retryable(err))
					assert.Equal(t, strings.HasPrefix(asError(t, err).Path, "/v2"), tt.next == 1)
					return err
				}
				require.EqualError(t, confirm(), "sparkloop: confirm offer_1234abcd/submission_1234abcd: "+tt.want)
				assert.Equal(t, []int{0, 1, 2, 3}, seen)
				for range 10 {
					require.EqualError(t, confirm(), "sparkloop: confirm offer_1234abcd/submission_1234abcd: "+strings.TrimSuffix(tt.want, " (4 attempts)"))
				}
				require.Len(t, seen, 14)
				assert.Equal(t, tt.next, seen[4])
				time.Sleep(time.Minute)
				_ = confirm()
				assert.Len(t, seen, 18, "a new search")
			})
		})
	}
}

// A call that hangs does not delay the others until its own deadline.
func TestASearchThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint("/api/v2", "conversion"))
		s.Fail(sparklooptest.Delay(time.Hour), 1)
		c := s.Client()
		_, first := s.Click("", "")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Conversions.Confirm(t.Context(), first)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
		synctest.Wait()
		start := time.Now()
		for range 5 {
			_, tr := s.Click("", "")
			_, err := c.Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err)
		}
		assert.Equal(t, 2*time.Second, time.Since(start), "the second call waits for two seconds, and proves the form for the others")
		wg.Wait()
	})
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

		// The old server is back within the minute: no new search yet, and the
		// error says why.
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

		// An unknown text counts as an unknown route. The search finds no other
		// form.
		s.Fail(sparklooptest.Status(404, `{"error":"This campaign has ended"}`), 1)
		err := confirm()
		require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
		assert.True(t, sparkloop.Retryable(err))
		assert.Equal(t, 4, asError(t, err).Attempts)
		require.NoError(t, confirm(), "the proven form is still known")

		// At most one search in a minute, for any number of calls.
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
	for _, base := range []string{
		"https://dash.sparkloop.app/api/v2", "https://proxy.example/a%2Fb/v2/", "http://fake:8080", "https://h/a%2F", "https://h/a%2f//", "https://h/%2F",
		"https://h/%252F/", "https://h/a%20b", "https://h/%E4%BD%A0", "https://h/你/", "https://h/a%3Fb%23c", "https://h/a;b=c/",
	} {
		c := newClient(t, rt, sparkloop.WithBaseURL(base))
		_, err := c.Conversions.Confirm(t.Context(), tracking)
		require.NoError(t, err)
		assert.Equal(t, strings.ReplaceAll(strings.TrimRight(base, "/"), "你", "%E4%BD%A0")+confirmPath, got[len(got)-1])
	}
	assert.Len(t, got, 12)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Rails answers like this if a route is gone, also for a form that worked
// before.
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

// After one answered probe and no further answer, the error has the answer.
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
