package hostile

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// proxied returns an address that leads to a server through toxics, each in the
// JSON of Toxiproxy's API.
func proxied(t *testing.T, address string, toxics ...string) string {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // the toxics write to stderr
	u, err := url.Parse(address)
	require.NoError(t, err)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", u.Host)
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	for _, toxic := range toxics {
		_, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
		require.NoError(t, err, toxic)
	}
	u.Host = proxy.Listen
	return u.String()
}

// counted counts the attempts.
type counted struct {
	next  http.RoundTripper
	tries *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.tries.Add(1)
	return c.next.RoundTrip(r)
}

// A proxy between client and API delays, splits and breaks connections. With
// retries each conversion is confirmed, and counted once. SPARKLOOP_CHAOS=full
// runs 10,000 conversions instead of 500.
func TestABrokenNetwork(t *testing.T) { //nolint:paralleltest,tparallel // the sum is for all of them
	const workers = 32
	conversions := 100
	if os.Getenv("SPARKLOOP_CHAOS") == "full" {
		conversions = 2000
	}
	var confirmed, already, tries atomic.Int64
	start := time.Now()
	t.Cleanup(func() {
		t.Logf("%d conversions in %s and %d tries: %d confirmed, %d of them by a try whose answer was lost",
			5*conversions, time.Since(start).Round(time.Millisecond), tries.Load(), confirmed.Load(), already.Load())
	})
	for name, tt := range map[string]struct {
		fresh  bool // a connection per attempt: toxics are chosen per connection
		toxics []string
	}{
		"latency": {true, []string{
			`{"type":"latency","stream":"downstream","attributes":{"latency":15,"jitter":15}}`,
			`{"type":"latency","stream":"upstream","toxicity":0.2,"attributes":{"latency":300}}`, // longer than the client's timeout
		}},
		"bandwidth": {false, []string{
			`{"type":"bandwidth","stream":"downstream","attributes":{"rate":200}}`,
			`{"type":"limit_data","stream":"downstream","toxicity":0.5,"attributes":{"bytes":1000}}`,
		}},
		"slicing": {false, []string{
			`{"type":"slicer","stream":"downstream","attributes":{"average_size":20,"size_variation":19,"delay":100}}`,
			`{"type":"slicer","stream":"upstream","attributes":{"average_size":20,"size_variation":19}}`,
			`{"type":"limit_data","stream":"downstream","toxicity":0.5,"attributes":{"bytes":700}}`,
		}},
		"reset": {true, []string{
			`{"type":"reset_peer","stream":"downstream","toxicity":0.3,"attributes":{"timeout":0}}`,
			`{"type":"reset_peer","stream":"upstream","toxicity":0.3,"attributes":{"timeout":1}}`,
		}},
		"timeout": {true, []string{
			`{"type":"timeout","stream":"downstream","toxicity":0.3,"attributes":{"timeout":20}}`,
			`{"type":"timeout","stream":"upstream","toxicity":0.3,"attributes":{"timeout":20}}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, err := sparklooptest.Start(sparklooptest.WithRateLimit(0, 0))
			require.NoError(t, err)
			t.Cleanup(api.Close)
			connections := &http.Transport{MaxIdleConnsPerHost: workers, DisableKeepAlives: tt.fresh, ResponseHeaderTimeout: 150 * time.Millisecond}
			t.Cleanup(connections.CloseIdleConnections)
			c, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(proxied(t, api.URL(), tt.toxics...)),
				sparkloop.WithHTTPClient(&http.Client{Transport: counted{connections, &tries}}),
				sparkloop.WithBackoff(time.Millisecond, 4*time.Millisecond), sparkloop.WithRetries(30), sparkloop.WithTimeout(30*time.Second), sparkloop.WithRateLimit(0, 0))
			require.NoError(t, err)

			work := make(chan sparkloop.Tracking, conversions)
			var all []sparkloop.Tracking
			for range conversions {
				_, tracking := api.Click("", "https://shop.example/")
				all = append(all, tracking)
				work <- tracking
			}
			close(work)
			var done sync.WaitGroup
			for range workers {
				done.Go(func() {
					for tracking := range work {
						confirmation, err := c.Conversions.Confirm(context.Background(), tracking)
						if !assert.NoError(t, err) {
							continue
						}
						confirmed.Add(1)
						if confirmation.AlreadyConfirmed {
							already.Add(1)
						}
					}
				})
			}
			done.Wait()

			requests := api.Requests()
			require.Less(t, len(requests), 10_000, "the API forgets older ones")
			successes := map[string]int{}
			for _, r := range requests {
				if r.Status == http.StatusOK {
					successes[r.Path]++
				}
			}
			assert.Len(t, successes, conversions)
			for _, tracking := range all {
				assert.True(t, api.Confirmed(tracking), "lost: %s", tracking.Key())
				path := "/api/v2/offers/" + tracking.Offer + "/submissions/" + tracking.Submission + "/conversion"
				assert.Equal(t, 1, successes[path], "%s", path)
			}
		})
	}
}
