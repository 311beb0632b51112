package sparklooptest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// answer is an answer as a plain HTTP client receives it.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// overBoth are the two ways to reach a server: in memory and over a socket.
var overBoth = map[string]func(s *sparklooptest.Server) (*http.Client, string){
	"in memory": func(s *sparklooptest.Server) (*http.Client, string) {
		return &http.Client{Transport: s.Transport()}, "https://api.sparkloop.app/api/v2"
	},
	"on a socket": func(s *sparklooptest.Server) (*http.Client, string) {
		return &http.Client{Transport: &http.Transport{}}, s.URL()
	},
}

// caller sends plain requests to a server.
type caller struct {
	hc   *http.Client
	base string
	key  string
}

func (c caller) send(ctx context.Context, method, path string) answer {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return answer{err: err}
	}
	if c.key != "" {
		req.Header.Set("X-Api-Key", c.key)
	}
	c.hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.hc.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func (c caller) confirm(t *testing.T, tr sparkloop.Tracking) answer {
	t.Helper()
	return c.send(t.Context(), http.MethodPost, "/offers/"+tr.Offer+"/submissions/"+tr.Submission+"/conversion")
}

// both runs a test over both ways.
func both(t *testing.T, test func(t *testing.T, s *sparklooptest.Server, c caller), opts ...sparklooptest.Option) {
	t.Helper()
	for name, way := range overBoth {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sparklooptest.NewServer(t, opts...)
			hc, base := way(s)
			t.Cleanup(hc.CloseIdleConnections)
			test(t, s, caller{hc, base, sparklooptest.APIKey})
		})
	}
}

func TestConfirmations(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		lead := s.AddOffer(sparkloop.Offer{ConversionType: sparkloop.ConversionLead})
		other := s.AddOffer(sparkloop.Offer{})
		_, tr := s.Click("", "")
		_, leadTr := s.Click(lead.UUID, "")

		for _, step := range []struct {
			tr     sparkloop.Tracking
			status int
			body   string
		}{
			{sparkloop.Tracking{Offer: "offer_unknown", Submission: tr.Submission}, 404, `{"error":"Offer not found"}`},
			{sparkloop.Tracking{Offer: tr.Offer, Submission: "submission_unknown"}, 404, `{"error":"Submission not found"}`},
			{sparkloop.Tracking{Offer: other.UUID, Submission: tr.Submission}, 404, `{"error":"Submission not found"}`},
			{leadTr, 422, `{"error":"Offer submission must be an action"}`},
			{tr, 200, `{"message":"Conversion tracked successfully"}`},
			{tr, 422, `{"error":"Offer submission must be unique"}`},
		} {
			assert.False(t, step.status == 200 && s.Confirmed(tr))
			got := c.confirm(t, step.tr)
			require.NoError(t, got.err)
			assert.Equal(t, step.status, got.status)
			assert.JSONEq(t, step.body, got.body)
			assert.Equal(t, "application/json; charset=utf-8", got.header.Get("Content-Type"))
		}
		assert.True(t, s.Confirmed(tr))
		assert.False(t, s.Confirmed(leadTr))
		assert.False(t, s.Confirmed(sparkloop.Tracking{Offer: other.UUID, Submission: tr.Submission}))
	})
}

func TestKeysAndRoutes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		for key, body := range map[string]string{"": `{"error":"API key is missing!"}`, "wrong": `{"error":"User not found!"}`} {
			c.key = key
			got := c.send(t.Context(), http.MethodGet, "/offers")
			assert.Equal(t, 401, got.status)
			assert.JSONEq(t, body, got.body)
		}
		c.key = "own-key"
		for _, path := range []string{"/offer", "/offers/a/b", "/offers/a/submissions/b", "/offers/a/submissions/b/convert", "/offers/a/submissions/b/conversion/x", "/", ""} {
			got := c.send(t.Context(), http.MethodPost, path)
			assert.Equal(t, 404, got.status, path)
			assert.JSONEq(t, `{"status":404,"error":"Not Found"}`, got.body)
		}
		assert.Equal(t, 404, c.send(t.Context(), http.MethodPost, "/offers").status)
		assert.Equal(t, 404, c.send(t.Context(), http.MethodGet, "/offers/a/submissions/b/conversion").status)
		assert.Equal(t, 200, c.send(t.Context(), http.MethodGet, "/offers").status)
	}, sparklooptest.WithAPIKey("own-key"))
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"/api/v2", "/v2"} {
		for _, leaf := range []string{"conversion", "conversions"} {
			s := sparklooptest.NewServer(t, sparklooptest.WithEndpoint(base, leaf), sparklooptest.WithUnknownRoute(sparklooptest.Status(405, "no")))
			assert.True(t, strings.HasSuffix(s.URL(), base))
			c := caller{&http.Client{Transport: s.Transport()}, "https://api.sparkloop.app", sparklooptest.APIKey}
			for _, b := range []string{"/api/v2", "/v2"} {
				for _, l := range []string{"conversion", "conversions"} {
					_, tr := s.Click("", "")
					got := c.send(t.Context(), http.MethodPost, b+"/offers/"+tr.Offer+"/submissions/"+tr.Submission+"/"+l)
					if b == base && l == leaf {
						assert.Equal(t, 200, got.status)
						continue
					}
					assert.Equal(t, 405, got.status)
					assert.Equal(t, "no", got.body)
				}
			}
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		for n := range 249 {
			s.AddOffer(sparkloop.Offer{Name: fmt.Sprint(n + 1), CPA: 1_500_000})
		}
		for query, want := range map[string]struct {
			first                          string
			len, page, perPage, totalPages int
		}{
			"":                                     {"249", 50, 1, 50, 5},
			"?page=2":                              {"199", 50, 2, 50, 5},
			"?per_page=200":                        {"249", 200, 1, 200, 2},
			"?per_page=500&page=2":                 {"49", 50, 2, 200, 2},
			"?page=6":                              {"", 0, 6, 50, 5},
			"?page=0&per_page=-1":                  {"249", 50, 1, 50, 5},
			"?page=x&per_page=":                    {"249", 50, 1, 50, 5},
			fmt.Sprint("?page=", math.MaxInt):      {"", 0, math.MaxInt, 50, 5},
			fmt.Sprint("?page=", math.MaxInt/25+2): {"", 0, math.MaxInt/25 + 2, 50, 5}, // times 50 is 52, if it overflows
		} {
			got := c.send(t.Context(), http.MethodGet, "/offers"+query)
			var page struct {
				Offers []struct{ Name string }
				Meta   map[string]int
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &page))
			assert.Len(t, page.Offers, want.len, query)
			if want.len > 0 {
				assert.Equal(t, want.first, page.Offers[0].Name, query)
			}
			assert.Equal(t, map[string]int{"page": want.page, "per_page": want.perPage, "total_pages": want.totalPages, "total_offers": 250}, page.Meta, query)
		}
	}, sparklooptest.WithRateLimit(0, 0))
}

func TestAnOfferIsShownAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		o := s.AddOffer(sparkloop.Offer{
			UUID: "offer_x", Name: "n", CPA: 2_350_000, MonthlyBudget: 5_000_000_000, ConversionEvent: "purchase",
			CreatedAt: time.Date(2026, 3, 2, 9, 15, 27, 412_999_000, time.UTC), GeoRestrictions: sparkloop.GeoRestrictions{AllowedCountries: []string{"US"}},
		})
		got := c.send(t.Context(), http.MethodGet, "/offers/offer_x")
		assert.Equal(t, 200, got.status)
		assert.JSONEq(t, `{"offer":{"uuid":"offer_x","name":"n","headline":"","description":"","callout":"","redirect_url":"https://example.com/welcome","conversion_type":"action",
			"visibility":"public","status":"active","created_at":"2026-03-02T09:15:27.412Z","landscape_image_url":"","portrait_image_url":"",
			"geo_restrictions":{"allow_worldwide_referrals":false,"allowed_countries":["US"],"blocked_countries":null},
			"monthly_budget":5000.00,"cpa":2.35,"conversion_event":"purchase","terms":""}}`, got.body)
		read, err := s.Client().Offers.Get(t.Context(), "offer_x")
		require.NoError(t, err)
		assert.Equal(t, o, *read)

		got = c.send(t.Context(), http.MethodGet, "/offers/offer_y")
		assert.Equal(t, 404, got.status)
		assert.JSONEq(t, `{"error":"Offer offer_y not found."}`, got.body)
	})
}

func TestTheRollingLimit(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		list := func() int { return c.send(t.Context(), http.MethodGet, "/offers").status }
		for range 120 {
			require.Equal(t, 200, list())
		}
		s.Advance(30 * time.Second)
		for range 3 {
			assert.Equal(t, 429, list())
		}
		s.Advance(31 * time.Second)
		assert.Equal(t, 200, list(), "rejected requests do not count")
	})
}

// A request leaves the rolling window after exactly its length.
func TestTheEndOfTheRollingLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t, sparklooptest.WithRateLimit(1, time.Minute))
		client := s.Client(sparkloop.WithRetries(0), sparkloop.WithRateLimit(0, 0))
		list := func() error {
			_, err := client.Offers.List(t.Context(), sparkloop.ListOffersParams{})
			return err
		}
		require.NoError(t, list())
		time.Sleep(time.Minute - time.Nanosecond)
		require.ErrorIs(t, list(), sparkloop.ErrRateLimited)
		time.Sleep(time.Nanosecond)
		require.NoError(t, list())
	})
}

// In memory, too, the length of an endless body is unknown.
func TestAnEndlessBodyHasNoLength(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	s.Fail(sparklooptest.EndlessBody(), 1)
	resp, err := (&http.Client{Transport: s.Transport()}).Get("http://sparkloop.test/api/v2/offers")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.EqualValues(t, -1, resp.ContentLength)
}

func TestASubmissionExpires(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		_, early := s.Click("", "")
		_, late := s.Click("", "")
		s.Advance(45*24*time.Hour - time.Minute)
		assert.Equal(t, 200, c.confirm(t, early).status)
		s.Advance(2 * time.Minute)
		got := c.confirm(t, late)
		assert.Equal(t, 422, got.status)
		assert.JSONEq(t, `{"error":"Offer submission has expired"}`, got.body)
		assert.False(t, s.Confirmed(late))
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		confirm := func(f sparklooptest.Fault) (answer, bool) {
			_, tr := s.Click("", "")
			s.Fail(f, 1)
			got := c.confirm(t, tr)
			return got, s.Confirmed(tr)
		}
		got, confirmed := confirm(sparklooptest.Status(503, `{"error":"x"}`, "Retry-After", "7"))
		assert.Equal(t, 503, got.status)
		assert.Equal(t, "7", got.header.Get("Retry-After"))
		assert.Equal(t, "application/json; charset=utf-8", got.header.Get("Content-Type"))
		assert.False(t, confirmed)

		got, confirmed = confirm(sparklooptest.HTMLPage())
		assert.Equal(t, 200, got.status)
		assert.Equal(t, "text/html; charset=utf-8", got.header.Get("Content-Type"))
		assert.Contains(t, got.body, "<!doctype html>")
		assert.False(t, confirmed)

		got, confirmed = confirm(sparklooptest.Redirect("https://elsewhere.example/"))
		assert.Equal(t, 302, got.status)
		assert.Equal(t, "https://elsewhere.example/", got.header.Get("Location"))
		assert.False(t, confirmed)

		got, confirmed = confirm(sparklooptest.Reset())
		require.ErrorIs(t, got.err, sparklooptest.ErrReset)
		assert.False(t, confirmed)

		got, confirmed = confirm(sparklooptest.LostAnswer())
		require.Error(t, got.err)
		assert.True(t, errors.Is(got.err, io.EOF) || errors.Is(got.err, io.ErrUnexpectedEOF), "%v", got.err)
		assert.True(t, confirmed, "handled, but the answer is lost")

		got, confirmed = confirm(sparklooptest.CutBody())
		require.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
		assert.Equal(t, `{"message":"Conversion`, got.body)
		assert.True(t, confirmed)

		got, confirmed = confirm(sparklooptest.EndlessBody())
		require.NoError(t, got.err)
		assert.Len(t, got.body, 1<<20)
		assert.False(t, confirmed)

		got, confirmed = confirm(sparklooptest.Delay(time.Millisecond))
		assert.Equal(t, 200, got.status)
		assert.True(t, confirmed)

		// Faults come one after the other, then for every request, until
		// cancelled.
		s.Fail(sparklooptest.Status(500, ""), 1)
		s.Fail(sparklooptest.Status(502, ""), -1)
		_, tr := s.Click("", "")
		for _, want := range []int{500, 502, 502, 502} {
			assert.Equal(t, want, c.confirm(t, tr).status)
		}
		s.Fail(sparklooptest.Fault{}, 0)
		assert.Equal(t, 200, c.confirm(t, tr).status)
	})
	odd := []string{"Retry-After"}
	assert.Panics(t, func() { sparklooptest.Status(200, "", odd...) })
	assert.Panics(t, func() { sparklooptest.Status(199, "{}") })
	assert.Panics(t, func() { sparklooptest.Status(600, "{}") })
	assert.Equal(t, "status 599", sparklooptest.Status(599, "{}").String())
	for f, want := range map[string]sparklooptest.Fault{
		"status 503": sparklooptest.Status(503, ""), "delay 2s": sparklooptest.Delay(2 * time.Second), "reset": sparklooptest.Reset(),
		"lost answer": sparklooptest.LostAnswer(), "cut body": sparklooptest.CutBody(), "endless body": sparklooptest.EndlessBody(), "no fault": {},
	} {
		assert.Equal(t, f, want.String())
	}
}

func TestADelayEndsWithTheClientOrTheServer(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s *sparklooptest.Server, c caller) {
		s.Fail(sparklooptest.Delay(time.Hour), -1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		got := c.send(ctx, http.MethodGet, "/offers")
		require.ErrorIs(t, got.err, context.DeadlineExceeded)

		done := make(chan answer)
		go func() { done <- c.send(context.Background(), http.MethodGet, "/offers") }()
		s.Close()
		require.Error(t, (<-done).err)
		s.Close()
	})
}

func TestClicks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		offer := s.AddOffer(sparkloop.Offer{RedirectURL: "https://other.example/?a=1#top"})
		s.Advance(48 * time.Hour)
		redirect, tr := s.Click("", "https://shop.example/buy?utm=x%20y&z#part")
		assert.Equal(t, "https://shop.example/buy?utm=x%20y&z&submission="+tr.Submission+"&offer=offer_1234abcd#part", redirect)
		assert.Equal(t, time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC), tr.CapturedAt)
		parsed, err := sparkloop.ParseTracking(redirect)
		require.NoError(t, err)
		assert.Equal(t, tr.Key(), parsed.Key())

		redirect, other := s.Click(offer.UUID, "")
		assert.Equal(t, "https://other.example/?a=1&submission="+other.Submission+"&offer="+offer.UUID+"#top", redirect)
		assert.NotEqual(t, tr.Submission, other.Submission)
	})
}

func TestWaitConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sparklooptest.NewServer(t)
		_, first := s.Click("", "")
		_, second := s.Click("", "")
		go func() {
			for _, tr := range []sparkloop.Tracking{first, second} {
				time.Sleep(time.Hour)
				s.Client().Conversions.Confirm(context.Background(), tr) //nolint:errcheck // waited for
			}
		}()
		start := time.Now()
		require.NoError(t, s.WaitConfirmed(t.Context(), second))
		assert.Equal(t, 2*time.Hour, time.Since(start))
		require.NoError(t, s.WaitConfirmed(t.Context(), first))

		_, never := s.Click("", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.WaitConfirmed(ctx, never)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, never.Key()+" is not confirmed")
	})
}

func TestRequestsAreKept(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	hc := &http.Client{Transport: s.Transport()}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.sparkloop.app/v2/offers/a%2Fb?x=1", strings.NewReader("body"))
	require.NoError(t, err)
	req.Header.Set("X-Api-Key", "k")
	resp, err := hc.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	s.Fail(sparklooptest.LostAnswer(), 1)
	_, err = s.Client(sparkloop.WithRetries(0)).Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.Error(t, err)

	got := s.Requests()
	require.Len(t, got, 2)
	assert.WithinDuration(t, time.Now(), got[0].Time, time.Minute)
	got[0].Time = time.Time{}
	assert.Equal(t, sparklooptest.Request{
		Method: "POST", Path: "/v2/offers/a%2Fb", Query: "x=1", Header: http.Header{"X-Api-Key": {"k"}}, Body: []byte("body"), Status: 404,
	}, got[0])
	assert.Zero(t, got[1].Status, "the client got no answer")
}

func TestStart(t *testing.T) {
	t.Parallel()
	s, err := sparklooptest.Start()
	require.NoError(t, err)
	assert.Regexp(t, `^http://127\.0\.0\.1:\d+/api/v2$`, s.URL())
	c, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(s.URL()), sparkloop.WithRetries(0))
	require.NoError(t, err)
	_, tr := s.Click("", "")
	_, err = c.Conversions.Confirm(t.Context(), tr)
	require.NoError(t, err)
	assert.PanicsWithValue(t, `sparklooptest: Click: there is no offer "x"`, func() { s.Click("x", "") })
	assert.PanicsWithValue(t, "sparklooptest: AddOffer: there already is an offer offer_1234abcd", func() {
		s.AddOffer(sparkloop.Offer{UUID: sparklooptest.DefaultOffer})
	})
	assert.Panics(t, func() { s.AddOffer(sparkloop.Offer{UUID: "a/b"}) })
	assert.Panics(t, func() { s.Click("", "::") })
	assert.Panics(t, func() { s.Client(nil) })
	s.Close()
	s.Close()
	_, err = c.Conversions.Confirm(t.Context(), tr)
	require.Error(t, err, "the port is closed")
	_, err = s.Client().Conversions.Confirm(t.Context(), tr)
	require.ErrorIs(t, err, sparklooptest.ErrRefused, "refused in memory too")
}

// IDs of two servers differ, because a database may still hold the IDs of an
// earlier server.
func TestSubmissionsOfTwoServersDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 3 {
		s := sparklooptest.NewServer(t)
		for range 200 {
			_, tr := s.Click("", "")
			require.Regexp(t, `^submission_[0-9a-f]{16}$`, tr.Submission)
			require.False(t, seen[tr.Submission])
			seen[tr.Submission] = true
		}
	}
}

func TestServedByAnotherProgram(t *testing.T) {
	t.Parallel()
	s := sparklooptest.New()
	defer s.Close()
	outer := httptest.NewServer(s)
	defer outer.Close()
	c, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(outer.URL+"/v2"), sparkloop.WithBackoff(time.Millisecond, time.Millisecond))
	require.NoError(t, err)
	_, tr := s.Click("", "")
	s.Fail(sparklooptest.LostAnswer(), 1)
	confirmation, err := c.Conversions.Confirm(t.Context(), tr)
	require.NoError(t, err)
	assert.True(t, confirmation.AlreadyConfirmed)
	assert.Panics(t, func() { s.Click("x", "") })
}

func TestURLAfterClose(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]bool{"opened before": true, "first asked for then": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sparklooptest.NewServer(t)
			before := ""
			if open {
				before = s.URL()
			}
			s.Close()
			assert.Regexp(t, `^http://127\.0\.0\.1:\d+/api/v2$`, s.URL())
			if open {
				assert.Equal(t, before, s.URL())
			}
			_, err := http.Get(s.URL())
			require.Error(t, err)
		})
	}
}

func TestATestsServerEndsWithIt(t *testing.T) { //nolint:tparallel // the inner one must end first
	t.Parallel()
	var s *sparklooptest.Server
	t.Run("inner", func(t *testing.T) { s = sparklooptest.NewServer(t) })
	_, err := s.Client().Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.ErrorIs(t, err, sparklooptest.ErrRefused)
}

// fatal is a testing.TB that records its failure.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Helper()                           {}
func (f *fatal) Cleanup(func())                    {}
func (f *fatal) Fatalf(format string, args ...any) { f.said = fmt.Sprintf(format, args...) }

func TestAMistakeFailsTheTest(t *testing.T) {
	t.Parallel()
	tb := &fatal{}
	s := sparklooptest.NewServer(tb)
	redirect, tr := s.Click("offer_x", "")
	assert.Equal(t, `sparklooptest: Click: there is no offer "offer_x"`, tb.said)
	assert.Empty(t, redirect)
	assert.Zero(t, tr)
}
