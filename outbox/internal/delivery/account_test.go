package delivery_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/keytest"
	"github.com/sparkloop-go/sparkloop/internal/redact"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// A conversion that is not found may belong to the account of another key that was
// in use in the last 7 days.
func TestTheReasonNamesAnotherAccount(t *testing.T) {
	t.Parallel()
	const other = "another API key was in use"
	synctest.Test(t, func(t *testing.T) {
		row := new(memory)
		var apis []*sparklooptest.Server
		var policies []*delivery.Policy
		for n := range 2 {
			key := fmt.Sprint(keytest.Key, n)
			api := sparklooptest.NewServer(t, sparklooptest.WithAPIKey(key), sparklooptest.WithRateLimit(0, 0))
			c, err := sparkloop.New(key, sparkloop.WithRateLimit(0, 0), sparkloop.WithHTTPClient(&http.Client{Transport: api.Transport()}))
			require.NoError(t, err)
			apis, policies = append(apis, api), append(policies, process(t, row, c, outbox.Options{Logger: quiet}))
		}
		_, known := apis[0].Click("", "https://shop.example/")
		unknown := sparkloop.Tracking{Offer: known.Offer, Submission: "submission_none"}
		reason := func(n int, tracking sparkloop.Tracking) string {
			return deliver(t.Context(), t, policies[n], entry(1, tracking)).Entry.Reason
		}
		assert.NotContains(t, reason(1, unknown), other, "no key has had a success")
		require.NotContains(t, reason(0, known), "not found")
		assert.NotContains(t, reason(0, unknown), other, "its own key")
		assert.Contains(t, reason(1, unknown), other)
		time.Sleep(7*24*time.Hour - time.Second)
		assert.Contains(t, reason(1, unknown), other)
		time.Sleep(time.Second)
		assert.NotContains(t, reason(1, unknown), other, "a week later")
	})
}

// The shared state stores marks of some keys, and no key. It notes a success once an
// hour.
func TestKeysAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := new(memory)
		stored := func() (s struct {
			Salt string
			Keys map[string]int64
		}) {
			require.NoError(t, json.Unmarshal([]byte(row.text), &s))
			return s
		}
		var clients []*sparkloop.Client // the one used last comes first
		for n := range 12 {
			api := sparklooptest.NewServer(t, sparklooptest.WithAPIKey(fmt.Sprint(keytest.Key, n)), sparklooptest.WithRateLimit(0, 0))
			c, err := sparkloop.New(fmt.Sprint(keytest.Key, n), sparkloop.WithRateLimit(0, 0),
				sparkloop.WithHTTPClient(&http.Client{Transport: api.Transport()}))
			require.NoError(t, err)
			p := process(t, row, c, outbox.Options{Logger: quiet})
			deliverOne := func() {
				_, tracking := api.Click("", "https://shop.example/")
				v := deliver(t.Context(), t, p, entry(int64(n), tracking))
				require.Equal(t, outbox.Confirmed, v.Entry.State, v.Entry.Reason)
			}
			deliverOne()
			clients = append([]*sparkloop.Client{c}, clients...)
			want := map[string]bool{} // two keys may have the same mark
			for _, c := range clients {
				if len(want) < 8 {
					want[redact.Mark(c, stored().Salt)] = true
				}
			}
			assert.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(stored().Keys)))
			noted := row.revision
			time.Sleep(time.Hour - time.Second)
			deliverOne()
			assert.Equal(t, noted, row.revision)
			time.Sleep(time.Second)
			deliverOne()
			assert.Equal(t, noted+1, row.revision)
		}
		for k, at := range stored().Keys {
			assert.Regexp(t, "^[0-9a-f]{4}$", k)
			assert.Greater(t, at, time.Now().Add(-9*time.Hour).UnixMilli(), "the oldest are deleted")
		}
		assert.NotContains(t, row.text, keytest.Key)
	})
}
