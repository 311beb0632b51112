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
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

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
