package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// proxy answers each request, CONNECT included, with a status line.
func proxy(t *testing.T, status string) (u *url.URL, seen func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	requests := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				requests <- r.Method + " " + r.RequestURI + " " + r.Header.Get("X-Api-Key")
				_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return &url.URL{Scheme: "http", Host: l.Addr().String()}, func() (all []string) {
		for len(requests) > 0 {
			all = append(all, <-requests)
		}
		return all
	}
}

// A refused CONNECT returns an error with the proxy's name. It is retried only
// if the status is temporary.
func TestAProxyRefuses(t *testing.T) {
	t.Parallel()
	for status, attempts := range map[string]int{
		"301 Moved Permanently": 1, "400 Bad Request": 1, "401 Unauthorized": 1, "403 Forbidden": 1, "404 Not Found": 1, "405 Method Not Allowed": 1,
		"407 Proxy Authentication Required": 1, "501 Not Implemented": 1, "429 Too Many Requests": 3, "502 Bad Gateway": 3, "503 Service Unavailable": 3, "504 Gateway Timeout": 3,
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			u, seen := proxy(t, status)
			sdk := transport.NewClient()
			sdk.Transport.(*http.Transport).Proxy = http.ProxyURL(u)
			for name, client := range map[string]*http.Client{"the SDK's": sdk, "a caller's": {Transport: &http.Transport{Proxy: http.ProxyURL(u)}}} {
				tr := newTransport(nil, func(c *transport.Config) {
					c.Client, c.Retries, c.BackoffMin, c.BackoffMax = client, 2, time.Nanosecond, time.Nanosecond
				})
				a := tr.Do(t.Context(), http.MethodPost, mustParse("https://api.example/v2/offers"))
				assert.Zero(t, a.StatusCode, "the API has not answered")
				assert.Equal(t, attempts, a.Attempts, name)
				var refused *transport.ProxyError
				require.ErrorAs(t, a.Err, &refused, name)
				assert.Equal(t, status, fmt.Sprint(refused.StatusCode, " ", http.StatusText(refused.StatusCode)))
				want := "the proxy refused to connect: " + status
				if client == sdk {
					want = "the proxy " + u.Host + " refused to connect: " + status
				}
				assert.EqualError(t, a.Err, want)
				a.Release()
				for _, request := range seen() {
					assert.Equal(t, "CONNECT api.example:443 ", request, "no key")
				}
			}
		})
	}
}

// An error text counts as a refusal only for https, and only if the whole text
// is the name of a status.
func TestAnErrorThatIsNoRefusalOfAProxy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"Forbidden": "the proxy refused to connect: 403 Forbidden", "forbidden": "forbidden", "OK": "OK", "": "", "Continue": "Continue", "Multiple Choices": "the proxy refused to connect: 300 Multiple Choices"} {
		synctest.Test(t, func(t *testing.T) {
			got := get(t, newTransport(&script{steps: []step{fails(errors.New(text))}}, func(c *transport.Config) { c.Retries = 0 }))
			assert.EqualError(t, got.err, want)
		})
	}
	tr := newTransport(&script{steps: []step{fails(errors.New("Forbidden"))}}, func(c *transport.Config) { c.Retries = 0 })
	a := tr.Do(t.Context(), http.MethodGet, mustParse("http://fake/offers"))
	defer a.Release()
	assert.EqualError(t, a.Err, "Forbidden")
}

// wrapper hides everything of a RoundTripper except RoundTrip.
type wrapper struct{ next http.RoundTripper }

func (w wrapper) RoundTrip(r *http.Request) (*http.Response, error) { return w.next.RoundTrip(r) }

// A plain request does not go through the proxy of the environment, with the
// SDK's or a caller's connections. A request over TLS does, and so does a plain
// request through a proxy set by the caller. The environment is read once per
// process.
func TestThePlainKeyGoesThroughNoProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if os.Getenv("SPARKLOOP_TEST_PROXY") == "" {
		u, seen := proxy(t, "403 Forbidden")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "SPARKLOOP_TEST_PROXY=1", "HTTP_PROXY="+u.String(), "HTTPS_PROXY="+u.String(), "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), "--- PASS")
		got := seen()
		require.NotEmpty(t, got)
		for _, request := range got {
			assert.Equal(t, "CONNECT api.example:443 ", request)
		}
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "direct") }))
	defer server.Close()
	toServer := func(client *http.Client) *http.Client {
		t := client.Transport.(*http.Transport)
		t.DialContext, t.DialTLSContext = nil, nil
		return client
	}
	own, seen := proxy(t, "200 OK")
	for name, tt := range map[string]struct {
		client *http.Client
		direct bool
	}{
		"the SDK's":                       {toServer(transport.NewClient()), true},
		"a caller's":                      {&http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}, true},
		"a caller's, in a wrapper":        {&http.Client{Transport: wrapper{transport.NewDirect(&http.Transport{Proxy: http.ProxyFromEnvironment})}}, true},
		"the default, in a wrapper":       {&http.Client{Transport: wrapper{transport.NewDirect(nil)}}, true},
		"the default":                     {&http.Client{}, true},
		"a caller's without a proxy":      {&http.Client{Transport: &http.Transport{}}, true},
		"a caller's with its own proxy":   {&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(own)}}, false},
		"a RoundTripper that is no known": {&http.Client{Transport: &script{steps: []step{status(200, "direct")}}}, true},
	} {
		tr := newTransport(nil, func(c *transport.Config) { c.Client, c.Retries = tt.client, 0 })
		for range 2 {
			// The proxy of the environment applies to all names except
			// loopback.
			host := strings.Replace(server.URL, "127.0.0.1", "0.0.0.0", 1)
			a := tr.Do(t.Context(), http.MethodGet, mustParse(host+"/v2/offers"))
			require.NoError(t, a.Err, name)
			assert.Equal(t, tt.direct, string(a.Body) == "direct", name)
			a.Release()
		}
		if tt.direct && name != "a caller's without a proxy" && name != "a RoundTripper that is no known" {
			a := tr.Do(t.Context(), http.MethodGet, mustParse("https://api.example/v2/offers"))
			require.ErrorContains(t, a.Err, "refused to connect: 403 Forbidden", name)
			a.Release()
		}
	}
	assert.Len(t, seen(), 2)
}

// Without a proxy of the environment the caller's http.Transport sends the
// requests itself, so the caller can close its idle connections.
func TestACallersTransportIsUsedWithoutAProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	own := &http.Transport{Proxy: http.ProxyFromEnvironment} // loopback bypasses it
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = append(reused, info.Reused) },
	})
	tr := newTransport(nil, func(c *transport.Config) { c.Client = &http.Client{Transport: own} })
	for range 2 {
		a := tr.Do(ctx, http.MethodGet, mustParse(server.URL))
		assert.Equal(t, 404, a.StatusCode)
		a.Release()
		own.CloseIdleConnections()
	}
	assert.Equal(t, []bool{false, false}, reused)
}

// The settings of the SDK's own connections.
func TestNewClient(t *testing.T) {
	t.Parallel()
	client := transport.NewClient()
	assert.Zero(t, client.Timeout, "a deadline in the context bounds the call")
	tr := client.Transport.(*http.Transport)
	assert.Equal(t, 64, tr.MaxIdleConnsPerHost)
	assert.Equal(t, 90*time.Second, tr.IdleConnTimeout)
	assert.Equal(t, 10*time.Second, tr.TLSHandshakeTimeout)
	assert.Equal(t, 15*time.Second, tr.ResponseHeaderTimeout)
	assert.Equal(t, int64(256<<10), tr.MaxResponseHeaderBytes)
	assert.True(t, tr.ForceAttemptHTTP2)
	assert.Equal(t, &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}, tr.HTTP2)
	assert.NotNil(t, tr.Proxy)
	assert.NotNil(t, tr.DialContext)
	assert.NotSame(t, transport.NewClient().Transport, client.Transport, "each client has connections of its own")
}
