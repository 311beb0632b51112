//go:build !race

// With the race detector sync.Pool drops values at random, which adds
// allocations.

package sparkloop_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// sameAnswer is a transport with the same answer to every request. It allocates
// only the response, its header and its body.
type sameAnswer []byte

func (a sameAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": sameType},
		Body:          io.NopCloser(bytes.NewReader(a)),
		ContentLength: int64(len(a)),
		Request:       r,
	}, nil
}

var sameType = []string{"application/json; charset=utf-8"}

// allOn returns a client with all features on; its limit is never reached.
func allOn(t *testing.T, body string) *sparkloop.Client {
	t.Helper()
	c, err := sparkloop.New(strings.Repeat("0123456789abcdef", 2),
		sparkloop.WithHTTPClient(&http.Client{Transport: sameAnswer(body)}),
		sparkloop.WithRateLimit(120, time.Microsecond))
	require.NoError(t, err)
	return c
}

// allocations returns the allocations of one of many calls, after a first call.
func allocations(t *testing.T, runs int, call func() error) (allocs float64, size uint64) {
	t.Helper()
	once := func() {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	allocs = testing.AllocsPerRun(runs, once)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		once()
	}
	runtime.ReadMemStats(&after)
	return allocs, (after.TotalAlloc - before.TotalAlloc) / uint64(runs)
}

// The limits are slightly above the current figures.
func TestAConfirmationAllocatesLittle(t *testing.T) {
	c := allOn(t, `{"message":"Conversion confirmed"}`)
	allocs, size := allocations(t, 1000, func() error {
		_, err := c.Conversions.Confirm(t.Context(), tracking)
		return err
	})
	t.Logf("%.0f allocations and %d bytes", allocs, size)
	assert.LessOrEqual(t, allocs, 26.0)
	assert.LessOrEqual(t, size, uint64(2500))
}

// A page allocates its offers, their texts and countries. Each text is
// allocated separately, so that a kept offer does not keep the page.
func TestAPageOfOffersAllocatesAtMostWhatItHolds(t *testing.T) {
	const offers = 200
	var list []string
	for i := range offers {
		list = append(list, fmt.Sprintf(`{"uuid":"offer_%d","name":"Acme trial","headline":"Write faster","description":"Drafts your newsletter.",`+
			`"callout":"14 days free","redirect_url":"https://acme.example","conversion_type":"Action","visibility":"public","status":"active",`+
			`"conversion_event":"purchase","terms":"English only.","cpa":2.35,"monthly_budget":5000,"created_at":"2026-03-02T09:15:27.412Z",`+
			`"landscape_image_url":"https://img.example/wide.png","portrait_image_url":"https://img.example/tall.png",`+
			`"geo_restrictions":{"allow_worldwide_referrals":false,"allowed_countries":["US","CA"],"blocked_countries":[]}}`, i))
	}
	c := allOn(t, `{"offers":[`+strings.Join(list, ",")+`],"meta":{"page":1,"per_page":200,"total_pages":1,"total_offers":200}}`)
	allocs, size := allocations(t, 100, func() error {
		page, err := c.Offers.List(t.Context(), sparkloop.ListOffersParams{Page: 1, PerPage: offers})
		if err == nil && len(page.Offers) != offers {
			err = fmt.Errorf("%d offers", len(page.Offers))
		}
		return err
	})
	t.Logf("%.1f allocations and %d bytes an offer", allocs/offers, size/offers)
	assert.LessOrEqual(t, allocs, 22.0*offers+100)
	assert.LessOrEqual(t, size, uint64(900*offers))
}
