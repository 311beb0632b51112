package sparkloop_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// internet has the API at example.com, and recording servers at all other
// addresses.
type internet struct {
	client *http.Client // reaches every address

	mu     sync.Mutex
	asked  int      // requests to the API
	dialed []string // addresses other than the API's
	stolen []string // raw requests to those addresses
}

// newInternet serves every name over TLS with the certificate of example.com,
// *.example.com and 127.0.0.1, which the client trusts.
func newInternet(t *testing.T, api http.HandlerFunc) *internet {
	t.Helper()
	n := &internet{}
	secure := func(h http.HandlerFunc) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	thief := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, err := httputil.DumpRequest(r, true)
		assert.NoError(t, err)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.stolen = append(n.stolen, string(dump))
		_, err = io.WriteString(w, `{"message":"Conversion tracked successfully","offers":[],"offer":{"uuid":"o"}}`)
		assert.NoError(t, err)
	})
	home := secure(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.asked++
		n.mu.Unlock()
		api(w, r)
	})
	plain, other := httptest.NewServer(thief), secure(thief)
	t.Cleanup(plain.Close)
	n.client = home.Client()
	n.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		to := home.Listener.Addr().String()
		if address != "example.com:443" {
			n.mu.Lock()
			n.dialed = append(n.dialed, address)
			n.mu.Unlock()
			if to = other.Listener.Addr().String(); strings.HasSuffix(address, ":80") {
				to = plain.Listener.Addr().String()
			}
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	return n
}

// elsewhere lists the ways in which an address may differ from the API's.
var elsewhere = map[string]string{
	"host": "https://127.0.0.1/take", "port": "https://example.com:8443/take", "scheme": "http://example.com/take", "subdomain": "https://sub.example.com/take",
	"no scheme": "//sub.example.com/take", "user info": "https://example.com@127.0.0.1/take",
}

func TestARedirectGetsNoKey(t *testing.T) {
	t.Parallel()
	for what, location := range elsewhere {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			status := 0
			n := newInternet(t, func(w http.ResponseWriter, r *http.Request) {
				header := w.Header()
				header.Set("Location", location)
				header.Set("Content-Location", location)
				header.Set("Refresh", "0;url="+location)
				header.Set("Link", "<"+location+">; rel=preload")
				header.Set("Alt-Svc", `h2="127.0.0.1:443"; ma=60`)
				header.Set("Set-Cookie", "tracker=1; Domain=example.com")
				w.WriteHeader(status)
			})
			n.client.Jar, _ = cookiejar.New(nil)
			c, err := sparkloop.New(marked, sparkloop.WithBaseURL("https://example.com/api/v2"), sparkloop.WithHTTPClient(n.client), sparkloop.WithRateLimit(0, 0))
			require.NoError(t, err)
			asked := 0
			for status = 300; status <= 308; status++ {
				_, confirmErr := c.Conversions.Confirm(t.Context(), tracking)
				_, listErr := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
				_, getErr := c.Offers.Get(t.Context(), "offer_1")
				_, allErr := collect(t, c)
				for _, err := range []error{confirmErr, listErr, getErr, allErr} {
					asked++
					require.ErrorIs(t, err, sparkloop.ErrUnexpectedResponse)
					assert.Equal(t, status, asError(t, err).StatusCode)
					assert.True(t, sparkloop.Retryable(err))
				}
			}
			assert.Equal(t, asked+1, n.asked, "each call asks once, the first one each form, and the API alone")
			assert.Empty(t, n.dialed)
			assert.Empty(t, n.stolen)

			// Without the SDK's rule these connections would carry the key.
			for status = 307; status <= 308; status++ {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/", nil)
				require.NoError(t, err)
				req.Header.Set("X-Api-Key", marked)
				resp, err := n.client.Do(req)
				require.NoError(t, err)
				resp.Body.Close()
			}
			require.Len(t, n.stolen, 2)
			assert.Contains(t, n.stolen[0], marked)
		})
	}
}

// A server whose certificate is for another name gets no request.
func TestAWrongCertificateGetsNoKey(t *testing.T) {
	t.Parallel()
	n := newInternet(t, http.NotFound)
	for _, host := range []string{"example.org", "a.b.example.com", "127.0.0.2"} {
		c, err := sparkloop.New(marked, sparkloop.WithBaseURL("https://"+host), sparkloop.WithHTTPClient(n.client), sparkloop.WithBackoff(1, 2))
		require.NoError(t, err)
		_, err = c.Conversions.Confirm(t.Context(), tracking)
		var wrong x509.HostnameError
		require.ErrorAs(t, err, &wrong)
		e := asError(t, err)
		assert.Zero(t, e.StatusCode)
		assert.Equal(t, 1, e.Attempts, "a second try would be no better")
		assert.True(t, sparkloop.Retryable(err), "but one after it was mended")
		assert.Contains(t, err.Error(), "certificate")
	}
	assert.Len(t, n.dialed, 3)
	assert.Empty(t, n.stolen)
}

// The search for the endpoint's published form stays on the host.
func TestTheSearchStaysOnItsHost(t *testing.T) {
	t.Parallel()
	var hosts []string
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, fmt.Sprint(r.URL.Scheme, "://", r.URL.Host))
		return jsonResponder(404, `{"error":"Not Found"}`)(r)
	})
	_, err := newClientWithKey(t, marked, rt).Conversions.Confirm(t.Context(), tracking)
	require.ErrorIs(t, err, sparkloop.ErrEndpointNotFound)
	assert.Equal(t, []string{"https://api.sparkloop.app"}, slices.Compact(hosts))
}
