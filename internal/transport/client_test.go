package transport_test

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/transport"
)

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, code := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		for _, location := range []string{"https://evil.example/x", "/elsewhere", "http://api.example/v2/offers", "", "http://[bad", "://"} {
			s := &script{steps: []step{status(code, "moved", "Location", location)}}
			got := do(t.Context(), newTransport(s), http.MethodPost)
			require.NoError(t, got.err, "%d to %q", code, location)
			assert.Equal(t, code, got.status)
			assert.Equal(t, "moved", got.body)
			assert.Len(t, s.came, 1)
		}
	}
}

// The body of a 101 is the connection, which may stay silent forever.
func TestSwitchingProtocolsDoesNotHang(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		assert.NoError(t, err)
		_, err = conn.Read(make([]byte, 1)) // until the client closes
		assert.Error(t, err)
		conn.Close()
	}))
	defer server.Close()
	tr := newTransport(nil, func(c *transport.Config) { c.Client = transport.NewClient() })
	a := tr.Do(t.Context(), http.MethodPost, mustParse(server.URL))
	defer a.Release()
	require.NoError(t, a.Err)
	assert.Equal(t, 101, a.StatusCode)
	assert.Empty(t, a.Body)
}

func TestTheCallersClientIsNotChanged(t *testing.T) {
	t.Parallel()
	theirs := &http.Client{Transport: &script{steps: []step{status(200, "{}")}}, Timeout: time.Minute}
	before := *theirs
	got := get(t, newTransport(nil, func(c *transport.Config) { c.Client = theirs }))
	require.NoError(t, got.err)
	assert.Equal(t, before, *theirs)
}

func TestAClientWithoutTransportUsesTheDefaultOne(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer server.Close()
	tr := newTransport(nil, func(c *transport.Config) { c.Client = &http.Client{} })
	a := tr.Do(t.Context(), http.MethodGet, mustParse(server.URL))
	defer a.Release()
	require.NoError(t, a.Err)
	assert.Equal(t, 200, a.StatusCode)
}

// The cookies of a cookie jar are sent with the SDK's own headers, once per
// attempt.
func TestACookieJarIsUsed(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(mustParse("https://api.example/"), []*http.Cookie{{Name: "affinity", Value: "b2"}})
	s := &script{steps: []step{status(503, ""), status(200, "{}")}}
	got := do(t.Context(), newTransport(s, func(c *transport.Config) {
		c.Client.Jar, c.BackoffMin, c.BackoffMax = jar, time.Nanosecond, time.Nanosecond
	}), http.MethodPost)
	require.NoError(t, got.err)
	require.Len(t, s.seen, 2)
	for _, r := range s.seen {
		assert.Equal(t, http.Header{
			"Accept":       {"application/json"},
			"Content-Type": {"application/json; charset=utf-8"},
			"Cookie":       {"affinity=b2"},
			"User-Agent":   {"test/1"},
			"X-Api-Key":    {testKey},
		}, r.Header)
	}
}

// Twenty bursts of 64 calls need the connections of one burst, plus one or two
// for each call that broke its connection: net/http may dial for two calls when
// one connection is missing. A failed call does not close the connections of
// other calls.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const bursts, width = 20, 64
	var opened, calls, broken atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%100 == 0 {
			broken.Add(1)
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	target := mustParse(server.URL + "/v2/offers")
	tr := newTransport(nil, func(c *transport.Config) { c.Client, c.Retries = transport.NewClient(), 0 })
	for range bursts {
		var wg sync.WaitGroup
		for range width {
			wg.Go(func() { tr.Do(t.Context(), http.MethodPost, target).Release() })
		}
		wg.Wait()
	}
	assert.Positive(t, broken.Load())
	assert.LessOrEqual(t, opened.Load(), width+2*broken.Load())
}
