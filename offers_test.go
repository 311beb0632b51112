package sparkloop_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestListOffers(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/offers_page.json")
	require.NoError(t, err)
	m := httpmock.NewMockTransport()
	var got *http.Request
	m.RegisterResponder(http.MethodGet, guide+"/offers", func(r *http.Request) (*http.Response, error) {
		got = r
		return jsonResponder(200, string(body))(r)
	})
	page, err := newClient(t, m).Offers.List(t.Context(), sparkloop.ListOffersParams{Page: 1, PerPage: 2})
	require.NoError(t, err)

	assert.Equal(t, "page=1&per_page=2", got.URL.RawQuery)
	assert.Equal(t, http.Header{
		"X-Api-Key": {testKey}, "Accept": {"application/json"}, "User-Agent": {"sparkloop-go/0.1.0"},
	}, got.Header)
	assert.Nil(t, got.Body)

	assert.Equal(t, &sparkloop.OfferPage{
		Page: 1, PerPage: 2, TotalPages: 12, TotalOffers: 24,
		Offers: []sparkloop.Offer{{
			UUID:              "offer_4bc10562d97",
			Name:              "Acme trial, spring",
			Headline:          "Write faster",
			Description:       "Acme drafts your newsletter.\nTry it for 14 days.",
			Callout:           "14 days free",
			RedirectURL:       "sparkloop.app",
			ConversionType:    sparkloop.ConversionAction,
			Visibility:        "public",
			Status:            "active",
			ConversionEvent:   "purchase",
			CPA:               2_350_000,
			MonthlyBudget:     5_000_000_000,
			CreatedAt:         time.Date(2026, 3, 2, 9, 15, 27, 412_000_000, time.UTC),
			LandscapeImageURL: "https://img.example/wide.png",
			GeoRestrictions:   sparkloop.GeoRestrictions{AllowedCountries: []string{"US", "CA"}},
		}, {
			UUID:           "offer_77aa",
			Name:           "Leads",
			ConversionType: sparkloop.ConversionLead,
			Status:         "paused_by_someone",
			CPA:            100_000,
			CreatedAt:      page.Offers[1].CreatedAt,
			GeoRestrictions: sparkloop.GeoRestrictions{
				AllowWorldwideReferrals: true, AllowedCountries: []string{}, BlockedCountries: []string{"FR"},
			},
		}},
	}, page)
	assert.True(t, page.Offers[1].CreatedAt.Equal(time.Date(2025, 12, 31, 21, 59, 59, 0, time.UTC)))
}

func TestListOffersLeavesTheDefaultsToTheAPI(t *testing.T) {
	t.Parallel()
	m := httpmock.NewMockTransport()
	m.RegisterResponder(http.MethodGet, guide+"/offers", func(r *http.Request) (*http.Response, error) {
		assert.Empty(t, r.URL.RawQuery)
		return jsonResponder(200, `{"offers":[]}`)(r)
	})
	c := newClient(t, m)
	page, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.NoError(t, err)
	assert.Equal(t, &sparkloop.OfferPage{Offers: []sparkloop.Offer{}}, page)

	for _, p := range []sparkloop.ListOffersParams{{Page: -1}, {PerPage: -1}} {
		_, err = c.Offers.List(t.Context(), p)
		require.ErrorContains(t, err, "negative")
	}
	assert.Equal(t, 1, m.GetTotalCallCount())
}

// A field of the wrong type is zero, and the rest is read.
func TestOddOffers(t *testing.T) {
	t.Parallel()
	m := httpmock.NewMockTransport()
	c := newClient(t, m)
	list := func(body string) ([]sparkloop.Offer, error) {
		m.RegisterResponder(http.MethodGet, guide+"/offers", jsonResponder(200, body))
		page, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		if err != nil {
			return nil, err
		}
		return page.Offers, nil
	}
	for field, values := range map[string][]string{
		"name": {`1`, `{}`, `[]`, `null`, `true`}, "conversion_type": {`1`, `{}`, `null`}, "created_at": {`"yesterday"`, `1`, `null`, `{}`, `"2026-13-45T00:00:00Z"`},
		"cpa":              {`"two"`, `""`, `" "`, `"1/2"`, `"0x10"`, `"1_000"`, `"Inf"`, `"2.35 USD"`, `"2.35` + "\\u0000" + `"`, `null`, `true`, `{}`, `[1]`, `1e999`, `-1e400`, `99999999999999999999`, `"99999999999999999999"`, `1e-99`},
		"geo_restrictions": {`null`, `"US"`, `[]`, `{"allow_worldwide_referrals":"yes","allowed_countries":"US"}`},
	} {
		for _, value := range values {
			offers, err := list(fmt.Sprintf(`{"offers":[{"uuid":"a",%q:%s,"headline":"after"},{"uuid":"b","name":"next"}]}`, field, value))
			require.NoError(t, err, "%s %s", field, value)
			assert.Equal(t, []sparkloop.Offer{{UUID: "a", Headline: "after"}, {UUID: "b", Name: "next"}}, offers, "%s %s", field, value)
		}
	}
	offers, err := list(`{"offers":[{"cpa":"2.35","monthly_budget":" 5000"},{"cpa":"1e1","monthly_budget":"-0.000001"}]}`)
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Offer{{CPA: 2_350_000, MonthlyBudget: 5_000_000_000}, {CPA: 10_000_000, MonthlyBudget: -1}}, offers)
	offers, err = list(`{"offers":[null,7,{"uuid":"a"}],"meta":{"page":"x","total_pages":1.5}}`)
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Offer{{}, {}, {UUID: "a"}}, offers)

	for body, want := range map[string]string{
		`{}`: "no offers array", `{"offers":null}`: "no offers array", `{"offers":{}}`: "no offers array", `{"offers":"x"}`: "no offers array",
		`[]`: "not a JSON object", `null`: "not a JSON object", `"offers"`: "not a JSON object", ``: "is empty", ` `: "is empty",
		`<html>`: "not a JSON object", `{"offers":[`: "not valid JSON", `{"offers":[]}x`: "not valid JSON",
		`{"offers":[],"error":"later"}`: "with an error in the answer",
	} {
		for range 2 { // the second time with a reply from the pool
			_, err := list(body)
			require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse, body)
			require.ErrorContains(t, err, want, body)
			assert.True(t, sparkloop.Retryable(err))
			_, err = list(`{"offers":[{"uuid":"a","name":"n","geo_restrictions":{"allowed_countries":["US"]}}]}`)
			require.NoError(t, err)
		}
	}
	for range 3 { // the pool must not pass an empty list to an answer without one
		_, err = list(`{"offers":[]}`)
		require.NoError(t, err)
		_, err = list(`{}`)
		require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
	}
	offers, err = list(`{"offers":[{"uuid":"b"}]}`)
	require.NoError(t, err)
	assert.Equal(t, []sparkloop.Offer{{UUID: "b"}}, offers, "nothing is left over from the call before")
}

func TestPagingNumbers(t *testing.T) {
	t.Parallel()
	m := httpmock.NewMockTransport()
	c := newClient(t, m)
	for in, want := range map[string]int{
		`7`: 7, `"7"`: 7, `" 7 "`: 7, `7.0`: 7, `"7.0"`: 7, `7e1`: 70, `-1`: -1, `2147483647`: 2147483647,
		`7.5`: 0, `"x"`: 0, `""`: 0, `null`: 0, `true`: 0, `{}`: 0, `[7]`: 0, `2147483648`: 0, `1e999`: 0, `"0x7"`: 0, `"NaN"`: 0, `"Inf"`: 0,
	} {
		m.RegisterResponder(http.MethodGet, guide+"/offers", jsonResponder(200, strings.ReplaceAll(`{"offers":[],"meta":{"page":N,"per_page":N,"total_pages":N,"total_offers":N}}`, "N", in)))
		page, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		require.NoError(t, err, in)
		assert.Equal(t, &sparkloop.OfferPage{Offers: []sparkloop.Offer{}, Page: want, PerPage: want, TotalPages: want, TotalOffers: want}, page, in)
	}
}

func TestGetOffer(t *testing.T) {
	t.Parallel()
	m := httpmock.NewMockTransport()
	m.RegisterResponder(http.MethodGet, guide+"/offers/offer_1", jsonResponder(200, `{"offer":{"uuid":"offer_1","cpa":12.5}}`))
	m.RegisterResponder(http.MethodGet, guide+"/offers/offer_2", jsonResponder(404, `{"error":"Offer offer_2 not found."}`))
	m.RegisterResponder(http.MethodGet, guide+"/offers/offer_3", jsonResponder(200, `{"offer":null}`))
	c := newClient(t, m)

	offer, err := c.Offers.Get(t.Context(), "offer_1")
	require.NoError(t, err)
	assert.Equal(t, &sparkloop.Offer{UUID: "offer_1", CPA: 12_500_000}, offer)

	_, err = c.Offers.Get(t.Context(), "offer_2")
	require.ErrorIs(t, err, sparkloop.ErrOfferNotFound)
	require.EqualError(t, err, "sparkloop: get offer offer_2: 404 Offer offer_2 not found.")
	assert.False(t, sparkloop.Retryable(err))

	_, err = c.Offers.Get(t.Context(), "offer_3")
	require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
	require.ErrorContains(t, err, "no offer with a uuid")

	sent := m.GetTotalCallCount()
	for _, id := range []string{"", "..", "a/b", "a%2fb", "a?b", strings.Repeat("x", 129), "ö"} {
		_, err = c.Offers.Get(t.Context(), id)
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
		assert.False(t, sparkloop.Retryable(err))
	}
	assert.Equal(t, sent, m.GetTotalCallCount(), "nothing was sent")
}

// pages serves pages by number and records the requests.
func pages(t *testing.T, page func(n int) []string) (*sparkloop.Client, *[]string) {
	t.Helper()
	var asked []string
	m := httpmock.NewMockTransport()
	m.RegisterResponder(http.MethodGet, guide+"/offers", func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.RawQuery)
		ids := page(len(asked))
		if ids == nil {
			return jsonResponder(401, `{"error":"User not found!"}`)(r)
		}
		for i := range ids {
			ids[i] = `{"uuid":"` + ids[i] + `"}`
		}
		return jsonResponder(200, `{"offers":[`+strings.Join(ids, ",")+`]}`)(r)
	})
	return newClient(t, m), &asked
}

func collect(t *testing.T, c *sparkloop.Client) (ids []string, last error) {
	t.Helper()
	for offer, err := range c.Offers.All(t.Context()) {
		require.NoError(t, last, "an error comes last")
		if last = err; err == nil {
			ids = append(ids, offer.UUID)
		}
	}
	return ids, last
}

func TestAllOffers(t *testing.T) {
	t.Parallel()
	t.Run("until a page has no news", func(t *testing.T) {
		t.Parallel()
		c, asked := pages(t, func(n int) []string { return [][]string{{"e", "d", "c"}, {"c", "b"}, {"a"}, {}}[n-1] })
		ids, err := collect(t, c)
		require.NoError(t, err)
		assert.Equal(t, []string{"e", "d", "c", "b", "a"}, ids, "a new offer shifted the pages; a short page is not the end")
		assert.Equal(t, []string{"page=1&per_page=200", "page=2&per_page=200", "page=3&per_page=200", "page=4&per_page=200"}, *asked)
	})
	t.Run("until the last page", func(t *testing.T) {
		t.Parallel()
		for _, total := range []string{`2`, `"2"`} {
			m := httpmock.NewMockTransport()
			m.RegisterResponder(http.MethodGet, guide+"/offers", func(r *http.Request) (*http.Response, error) {
				page := r.URL.Query().Get("page")
				if page == "3" {
					return jsonResponder(404, `{"error":"Not Found"}`)(r)
				}
				return jsonResponder(200, `{"offers":[{"uuid":"`+page+`"}],"meta":{"total_pages":`+total+`}}`)(r)
			})
			ids, err := collect(t, newClient(t, m))
			require.NoError(t, err)
			assert.Equal(t, []string{"1", "2"}, ids)
			assert.Equal(t, 2, m.GetTotalCallCount())
		}
	})
	t.Run("a server that ignores the page", func(t *testing.T) {
		t.Parallel()
		c, asked := pages(t, func(int) []string { return []string{"a", "", ""} })
		ids, err := collect(t, c)
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "", ""}, ids, "nothing tells those without a uuid apart, so all are there")
		assert.Len(t, *asked, 2)
	})
	t.Run("a first page without a uuid", func(t *testing.T) {
		t.Parallel()
		c, _ := pages(t, func(n int) []string { return [][]string{{"", ""}, {}}[n-1] })
		ids, err := collect(t, c)
		require.NoError(t, err)
		assert.Equal(t, []string{"", ""}, ids)
	})
	t.Run("an error", func(t *testing.T) {
		t.Parallel()
		c, _ := pages(t, func(n int) []string { return [][]string{{"a"}, nil}[n-1] })
		ids, err := collect(t, c)
		require.ErrorIs(t, err, sparkloop.ErrUnauthorized)
		assert.Equal(t, []string{"a"}, ids)
	})
	t.Run("stopped early", func(t *testing.T) {
		t.Parallel()
		c, asked := pages(t, func(int) []string { return []string{"a", "b"} })
		for _, err := range c.Offers.All(t.Context()) {
			require.NoError(t, err)
			break
		}
		assert.Len(t, *asked, 1)
		c, _ = pages(t, func(int) []string { return nil })
		for _, err := range c.Offers.All(t.Context()) {
			require.Error(t, err)
			break
		}
	})
	t.Run("several pages of the fake", func(t *testing.T) {
		t.Parallel()
		s := sparklooptest.NewServer(t)
		for range 450 {
			s.AddOffer(sparkloop.Offer{})
		}
		ids, err := collect(t, s.Client())
		require.NoError(t, err)
		assert.Len(t, ids, 451)
		assert.Equal(t, sparklooptest.DefaultOffer, ids[450], "the newest first")
		assert.Len(t, s.Requests(), 3)
	})
}

func TestUSD(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]sparkloop.USD{
		`2.35`: 2_350_000, `0`: 0, `-0`: 0, `5000`: 5_000_000_000, `0.000001`: 1, `0.1`: 100_000, `-2.5`: -2_500_000, `1e2`: 100_000_000, `2.5E-1`: 250_000,
		`2.3499999999999996`: 2_350_000, `0.0000005`: 1, `-0.0000005`: -1, `0.00000049`: 0, `9223372036854.775807`: 9223372036854775807,
		`-9223372036854.775808`: -9223372036854775808, `999999999999.999999`: 999999999999999999, `00000000000001`: 77, `null`: 77,
		`"2.35"`: 2_350_000, `" 5000 "`: 5_000_000_000, `"1e2"`: 100_000_000, `"-0.5"`: -500_000, `123456789012.5`: 123456789012500000, `1.` + strings.Repeat("0", 80): 1_000_000,
		`0.` + strings.Repeat("0", 60) + `1e64`: 1000_000_000, `1e-64`: 0, `1.` + strings.Repeat("0", 998): 1_000_000,
	} {
		got := sparkloop.USD(77)
		err := got.UnmarshalJSON([]byte(in))
		assert.Equal(t, want == 77 && in != "null", err != nil, in)
		assert.Equal(t, want, got, in)
	}
	for _, in := range []string{`9223372036854.775808`, `-9223372036854.775809`, `1e19`, `1e-70`, `1e99999999999`, `1e65`, `"x"`, `""`, `true`, `{}`, `[2]`, `"`, ``, `01`, `-007.5`, `1.`, `-`, `"01"`, `"1."`, `"1/2"`, `"0x1"`, `"+1"`, `1.` + strings.Repeat("0", 999)} {
		got := sparkloop.USD(77)
		require.Error(t, got.UnmarshalJSON([]byte(in)), in)
		assert.Equal(t, sparkloop.USD(77), got, in)
	}
	for in, want := range map[sparkloop.USD]string{
		2_350_000: "$2.35", 0: "$0.00", 5_000_000_000: "$5000.00", 100_000: "$0.10", 1: "$0.000001", 2_355_000: "$2.355", -2_500_000: "-$2.50",
		9223372036854775807: "$9223372036854.775807", -9223372036854775808: "-$9223372036854.775808",
	} {
		assert.Equal(t, want, in.String())
		data, err := json.Marshal(in)
		require.NoError(t, err)
		var back sparkloop.USD
		require.NoError(t, json.Unmarshal(data, &back))
		assert.Equal(t, in, back)
	}
}

// FuzzOffers: any body is a page or an error with a reason. A page survives a
// round trip.
func FuzzOffers(f *testing.F) {
	body, err := os.ReadFile("testdata/offers_page.json")
	require.NoError(f, err)
	f.Add(body)
	f.Add([]byte(`{"offers":[{"cpa":1e5,"created_at":7},null]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := httpmock.NewMockTransport()
		m.RegisterResponder(http.MethodGet, guide+"/offers", httpmock.NewBytesResponder(200, in))
		m.RegisterResponder(http.MethodGet, reference+"/offers", httpmock.NewBytesResponder(200, in))
		c, err := sparkloop.New(testKey, sparkloop.WithHTTPClient(&http.Client{Transport: m}))
		if err != nil {
			t.Fatal(err)
		}
		page, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		if err != nil {
			require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
			return
		}
		for _, offer := range page.Offers {
			if offer.CreatedAt.Year() > 9999 || offer.CreatedAt.Year() < 0 {
				continue
			}
			data, err := json.Marshal(offer)
			require.NoError(t, err)
			var back sparkloop.Offer
			require.NoError(t, json.Unmarshal(data, &back))
			assert.Equal(t, offer.CPA, back.CPA)
			assert.Equal(t, offer.ConversionType, back.ConversionType)
		}
	})
}
