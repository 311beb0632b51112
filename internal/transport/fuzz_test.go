package transport_test

import (
	"math"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// FuzzRetryAfter: the pause is between zero and a day. It equals the result of
// strconv.ParseUint or http.ParseTime within these bounds. There is none if
// both fail, or if the time is over.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "0", "7", "19.5", ".5", "5.", "1.2.3", "99999999.1", "100000000", "1136214275", "1136214275.5", "1136214275000", "99999999999.9", " 60 ", "86400", "86401", "9223372037", "18446744073709551616", "-1", "+1", "1.5", "0x10", "1_0", "soon", "٣",
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(value, "")
		f.Add(value, "Sun, 06 Nov 1994 08:49:30 GMT")
		f.Add(value, "Mon, 01 Jan 0001 00:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		const day = 24 * time.Hour
		before := time.Now()
		got, ok := transport.RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}})
		after := time.Now()
		assert.GreaterOrEqual(t, got, time.Duration(0))
		assert.LessOrEqual(t, got, day)
		assert.Equal(t, got > 0, ok)

		trimmed := strings.TrimSpace(value)
		number, ok := new(big.Rat).SetString(trimmed)
		isNumber := ok && strings.Trim(trimmed, "0123456789.") == ""
		at, timeErr := http.ParseTime(trimmed)
		var seconds int64
		if isNumber { // rounded up
			up := new(big.Int).Sub(new(big.Int).Add(number.Num(), number.Denom()), big.NewInt(1))
			if up.Div(up, number.Denom()); up.IsInt64() {
				seconds = up.Int64()
			} else {
				seconds = math.MaxInt64
			}
		}
		switch {
		case isNumber && seconds < 100_000_000:
			assert.Equal(t, time.Duration(min(seconds, 86400))*time.Second, got)
			return
		case isNumber && seconds < 100_000_000_000:
			at = time.Unix(seconds, 0)
		case isNumber:
			at = time.UnixMilli(seconds)
		case timeErr != nil:
			assert.Zero(t, got)
			return
		}
		sent, err := http.ParseTime(date)
		if err != nil {
			sent = before
		}
		// A fraction is rounded up, and the clock advances during the test.
		bound := func(now time.Time) time.Duration { return min(max(at.Sub(now), 0), day) }
		assert.LessOrEqual(t, got, bound(sent.Add(-time.Second)))
		assert.GreaterOrEqual(t, got, bound(sent.Add(after.Sub(before))))
	})
}
