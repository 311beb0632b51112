package transport_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// FuzzRetryAfter: the pause is never negative and never over a day. It is what
// strconv.ParseUint or http.ParseTime read, within these bounds, and there is
// none where both read nothing or what is over.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "0", "7", " 60 ", "86400", "86401", "9223372037", "18446744073709551616", "-1", "+1", "1.5", "0x10", "1_0", "soon", "٣",
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
		seconds, err := strconv.ParseUint(trimmed, 10, 64)
		at, timeErr := http.ParseTime(trimmed)
		switch {
		case err == nil:
			assert.Equal(t, time.Duration(min(seconds, 86400))*time.Second, got)
		case timeErr == nil:
			if sent, err := http.ParseTime(date); err == nil {
				wait := at.Unix() - sent.Unix()
				assert.Equal(t, time.Duration(min(max(wait, 0), 86400))*time.Second, got)
				return
			}
			bound := func(now time.Time) time.Duration { return min(max(at.Sub(now), 0), day) }
			assert.LessOrEqual(t, got, bound(before))
			assert.GreaterOrEqual(t, got, bound(after))
		case strings.Trim(trimmed, "0123456789") == "" && trimmed != "":
			assert.Equal(t, day, got, "a number beyond an uint64")
		default:
			assert.Zero(t, got)
		}
	})
}
