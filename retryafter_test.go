package sparkloop_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// For any Retry-After the call keeps its deadline, does not retry at once, does
// not sleep forever, and returns an error with both reasons.
func TestMalformedRetryAfter(t *testing.T) {
	t.Parallel()
	for _, values := range [][]string{
		{""}, {" "}, {"soon"}, {"-1"}, {"-9223372036854775808"}, {"+5"}, {"1.5"}, {"1e9"}, {"0x10"}, {"1_000"}, {"1,000"}, {"5s"}, {"PT5S"}, {"5; q=1"},
		{"０"}, {"٣"}, {"NaN"}, {"Infinity"}, {"null"}, {"\x00"}, {"\xff\xfe"}, {"5\r\nX-Evil: 1"}, {strings.Repeat("9", 100_000)}, {strings.Repeat("0", 100_000)},
		{"9223372037"}, {"18446744073709551616"}, {"86401"}, {"0"}, {"00"}, {"7"}, {"soon", "7"}, {"7", "86400"}, {"", "7"},
		{"Sun, 06 Nov 1994 08:49:37 GMT"}, {"Sunday, 06-Nov-94 08:49:37 GMT"}, {"Sun Nov  6 08:49:37 1994"}, {"Fri, 31 Dec 9999 23:59:59 GMT"}, {"Fri, 99 Dec 9999 23:59:59 GMT"},
		{"Sun, 06 Nov 1994 08:49:37 +0100"}, {"1994-11-06T08:49:37Z"}, {"Thu, 01 Jan 1970 00:00:00 GMT"}, {"Mon, 01 Jan 0001 00:00:00 GMT"}, {"784111777"},
	} {
		for _, date := range []string{"", "nonsense", "Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"} {
			for _, status := range []int{429, 503} {
				synctest.Test(t, func(t *testing.T) {
					name := fmt.Sprintf("%d %.40q %q", status, values, date)
					var came []time.Time
					rt := roundTrip(func(r *http.Request) (*http.Response, error) {
						came = append(came, time.Now())
						return jsonResponder(status, `{"error":"busy"}`).HeaderSet(http.Header{"Retry-After": values, "Date": {date}})(r)
					})
					c, err := sparkloop.New(testKey, sparkloop.WithHTTPClient(&http.Client{Transport: rt}))
					require.NoError(t, err)
					start := time.Now()
					_, err = c.Conversions.Confirm(t.Context(), tracking)
					assert.LessOrEqual(t, time.Since(start), 10*time.Second, name)
					e := asError(t, err)
					assert.Equal(t, status, e.StatusCode, name)
					assert.Equal(t, "busy", e.Message, name)
					assert.True(t, sparkloop.Retryable(err), name)
					assert.Len(t, came, e.Attempts, name)
					for i := 1; i < len(came); i++ {
						assert.GreaterOrEqual(t, came[i].Sub(came[i-1]), 250*time.Millisecond, name)
					}
					wait, ok := sparkloop.RetryAfter(err)
					assert.GreaterOrEqual(t, wait, time.Duration(0), name)
					assert.LessOrEqual(t, wait, 24*time.Hour, name)
					assert.True(t, ok || wait == 0, name)
				})
			}
		}
	}
}
