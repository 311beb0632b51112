package sparkloop_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// most limits the allocations of one call with its four attempts, for any
// answer: a body of 8 MiB, twice as much for its growing buffer, and the search
// for the key.
const most = 48 << 20

// gzipBomb returns a gigabyte of spaces in one megabyte.
func gzipBomb(t *testing.T) string {
	t.Helper()
	var part bytes.Buffer
	z, err := gzip.NewWriterLevel(&part, gzip.BestCompression)
	require.NoError(t, err)
	_, err = z.Write(bytes.Repeat([]byte(" "), 16<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	bomb := strings.Repeat(part.String(), 64) // concatenated gzip files are one file
	require.Less(t, len(bomb), 1<<20)
	return bomb
}

// Endless or exploding answers are cut off: bodies by the SDK's limit,
// everything else by net/http's.
func TestFloods(t *testing.T) { //nolint:paralleltest // it measures the process's memory
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	tooLarge := func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
		require.ErrorContains(t, err, "the body is larger than 8 MiB")
		assert.Equal(t, 2, asError(t, err).Attempts, "one for each form of the endpoint")
	}
	retried := func(status int, text string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			require.ErrorContains(t, err, text)
			assert.Equal(t, status, asError(t, err).StatusCode)
			assert.Equal(t, 4, asError(t, err).Attempts)
		}
	}
	longHeader := retried(0, "server response headers exceeded 262144 bytes")
	for name, tt := range map[string]struct { //nolint:paralleltest // likewise
		start, more string
		check       func(*testing.T, error)
	}{
		"body":               {"HTTP/1.1 200 OK\r\n\r\n{\"message\":\"", strings.Repeat("x", 32<<10), tooLarge},
		"body of a refusal":  {"HTTP/1.1 422 No\r\n\r\n{\"error\":\"", strings.Repeat("x", 32<<10), tooLarge},
		"body over HTTP/1.0": {"HTTP/1.0 200 OK\r\n\r\n{\"message\":\"", strings.Repeat("x", 32<<10), tooLarge},
		"chunks":             {chunked, "8000\r\n" + strings.Repeat("x", 32<<10) + "\r\n", tooLarge},
		"1 GB from 1 MB":     {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipBomb(t), "", tooLarge},
		"announced":          {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{", "", tooLarge},
		"headers":            {"HTTP/1.1 200 OK\r\n", strings.Repeat("X-H: y\r\n", 4<<10), longHeader},
		"one header":         {"HTTP/1.1 200 OK\r\nX-H: ", strings.Repeat("y", 32<<10), longHeader},
		"status line":        {"HTTP/1.1 200 ", strings.Repeat("y", 32<<10), longHeader},
		"early hints":        {"", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 1<<10), longHeader},
		"continues":          {"", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1<<10), longHeader},
		"chunk extension":    {chunked + "1;", strings.Repeat("y", 32<<10), retried(200, "header line too long")},
		"tiny chunks":        {chunked, strings.Repeat("1;"+strings.Repeat("a", 40)+"\r\nx\r\n", 1<<10), retried(200, "too much non-data")},
		"trailers":           {chunked + "2\r\n{}\r\n0\r\n", strings.Repeat("X-T: y\r\n", 4<<10), retried(200, "suspiciously long trailer")},
	} {
		t.Run(name, func(t *testing.T) {
			c := listen(t, floods(tt.start, tt.more)).client(t)
			var err error
			assert.LessOrEqual(t, allocated(func() { _, err = c.Conversions.Confirm(t.Context(), tracking) }), uint64(most))
			tt.check(t, err)
			assert.True(t, sparkloop.Retryable(err))
			assert.LessOrEqual(t, len(asError(t, err).Body), 64<<10)
			assert.Less(t, len(err.Error()), 700)
		})
	}
}

// A short text may decode to a great many offers.
func TestAListOfNothing(t *testing.T) { //nolint:paralleltest // it measures the process's memory
	for _, nothing := range []string{"0", "{}", "null", `""`, `{"a":[1,2,3]}`} {
		body := `{"offers":[` + strings.Repeat(nothing+",", 99_000/(1+strings.Count(nothing, ","))) + nothing + `]}`
		c := listen(t, says("HTTP/1.1 200 OK\r\n\r\n"+body)).client(t)
		var err error
		assert.LessOrEqual(t, allocated(func() { _, err = c.Offers.List(t.Context(), sparkloop.ListOffersParams{}) }), uint64(most), nothing)
		require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
		require.ErrorContains(t, err, "too many values")
	}
}

// A full page of offers, each with a list of all countries, is accepted.
func TestAListOfCountries(t *testing.T) {
	t.Parallel()
	offer := `{"uuid":"%d","name":"a, \"b\", [c, {d, ","geo_restrictions":{"allowed_countries":[` + strings.Repeat(`"DE",`, 248) + `"FR"]}}`
	var offers []string
	for n := range 200 {
		offers = append(offers, strings.Replace(offer, "%d", strconv.Itoa(n), 1))
	}
	m := httpmock.NewMockTransport()
	m.RegisterResponder(http.MethodGet, guide+"/offers", jsonResponder(200, `{"offers":[`+strings.Join(offers, ",")+`]}`))
	page, err := newClient(t, m).Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.NoError(t, err)
	require.Len(t, page.Offers, 200)
	assert.Len(t, page.Offers[199].GeoRestrictions.AllowedCountries, 249)
}

// If a server stops at any point, the call ends in time with a matching error.
func TestStalls(t *testing.T) {
	t.Parallel()
	const (
		slack  = 3 * time.Second // the machine may be busy
		header = "HTTP/1.1 200 OK\r\n"
		hint   = "HTTP/1.1 103 Early Hints\r\n\r\n"
		ok     = `{"message":"Conversion tracked successfully"}`
	)
	holding := func(answer string) func(net.Conn) {
		return answering(func(conn net.Conn) {
			send(conn, answer)
			silent(conn)
		})
	}
	for name, tt := range map[string]struct {
		play   func(net.Conn)
		scheme string
		status int
	}{
		"no answer":               {answering(silent), "http://", 0},
		"no handshake":            {silent, "https://", 0},
		"headers a byte a second": {trickles("", header+"\r\n"+ok), "http://", 0},
		"hints, a byte a second":  {trickles(hint, header+"\r\n"+ok), "http://", 0},
		"body a byte a second":    {trickles(header+"Content-Length: 45\r\n\r\n", ok), "http://", 200},
		"gzip a byte a second":    {trickles(header+"Content-Encoding: gzip\r\n\r\n", "\x1f\x8b\x08\x00\x00\x00"), "http://", 200},
		"chunks a byte a second":  {trickles(header+"Transfer-Encoding: chunked\r\n\r\n", "2d\r\n"+ok+"\r\n0\r\n\r\n"), "http://", 200},
		"refusal without an end":  {holding("HTTP/1.1 422 No\r\n\r\n" + `{"error":"Offer submission must be unique"}`), "http://", 422},
		"success without an end":  {holding(header + "\r\n" + ok), "http://", 200},
		"half closed": {answering(func(conn net.Conn) {
			_ = conn.(*net.TCPConn).CloseRead()
			for send(conn, hint) {
				<-time.After(10 * time.Millisecond)
			}
		}), "http://", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := listen(t, tt.play)
			var err error
			// Repeated with a longer deadline if the machine was too busy for
			// the answer's beginning.
			for deadline := 100 * time.Millisecond; deadline < 2*time.Second; deadline *= 4 {
				c := w.client(t, sparkloop.WithTimeout(deadline), sparkloop.WithBaseURL(tt.scheme+w.address))
				start := time.Now()
				_, err = c.Conversions.Confirm(t.Context(), tracking)
				assert.Less(t, time.Since(start), deadline+slack)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.True(t, sparkloop.Retryable(err))
				if asError(t, err).StatusCode == tt.status {
					break
				}
			}
			assert.Equal(t, tt.status, asError(t, err).StatusCode)
		})
	}
}
