package sparkloopprom_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/contrib/sparkloopprom"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func httpClient(rt http.RoundTripper) sparkloop.Option {
	return sparkloop.WithHTTPClient(&http.Client{Transport: rt})
}

// text returns a registry's metrics in Prometheus' text format.
func text(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return w.Body.String()
}

// gathered returns the lines of the text without comments.
func gathered(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	lines := slices.Collect(strings.Lines(text(t, registry)))
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// everything returns a registry with all metrics of this package.
func everything(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	q := &counted{fake{stats: figures(outbox.Stats{Time: noon})}}
	registry.MustRegister(sparkloopprom.NewCollector(q), sparkloopprom.NewTransport(nil))
	return registry
}
