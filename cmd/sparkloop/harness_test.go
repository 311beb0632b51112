package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const offer = sparklooptest.DefaultOffer

// secret is the key of the tests' servers, easy to find in output.
const secret = "sekret-key-9f3b"

// desk is the environment of a command in a test, with a folder for its files.
type desk struct {
	api  *sparklooptest.Server
	dir  string
	env  map[string]string
	opts []sparkloop.Option
	wire http.RoundTripper
}

// newDesk returns a desk whose commands call a server over a socket, retry at
// once and do not pace.
func newDesk(t *testing.T, opts ...sparklooptest.Option) *desk {
	t.Helper()
	api := sparklooptest.NewServer(t, append([]sparklooptest.Option{sparklooptest.WithAPIKey(secret), sparklooptest.WithRateLimit(0, 0)}, opts...)...)
	return &desk{
		api: api,
		dir: t.TempDir(),
		env: map[string]string{"SPARKLOOP_API_KEY": secret, "SPARKLOOP_BASE_URL": api.URL()},
		opts: []sparkloop.Option{
			sparkloop.WithBackoff(time.Millisecond, 2*time.Millisecond),
			sparkloop.WithRateLimit(0, 0),
		},
	}
}

// inMemory returns a desk without a socket and with the client's own pace, for
// a synctest bubble.
func inMemory(t *testing.T) *desk {
	t.Helper()
	api := sparklooptest.NewServer(t, sparklooptest.WithAPIKey(secret))
	return &desk{
		api:  api,
		dir:  t.TempDir(),
		env:  map[string]string{"SPARKLOOP_API_KEY": secret},
		opts: []sparkloop.Option{sparkloop.WithHTTPClient(&http.Client{Transport: api.Transport()})},
	}
}

type outcome struct {
	code     int
	out, err string
}

func (d *desk) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return d.with(t.Context(), t, strings.NewReader(""), args...)
}

// with runs a command, and checks that its output does not contain the key.
func (d *desk) with(ctx context.Context, t *testing.T, in io.Reader, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{getenv: func(name string) string { return d.env[name] }, in: in, out: &stdout, err: &stderr, opts: d.opts, wire: d.wire}
	got := outcome{run(ctx, args, a), stdout.String(), stderr.String()}
	require.NotContains(t, got.out+got.err, secret)
	return got
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

// write creates a file in the desk's folder and returns its path.
func (d *desk) write(t *testing.T, name, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(d.path(name), []byte(text), 0o600))
	return d.path(name)
}

// read returns a file's text, or "".
func (d *desk) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(d.path(name))
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(t, err)
	require.NotContains(t, string(data), secret)
	return string(data)
}

// asked counts the confirmations that reached the server, by Tracking.Key.
func asked(api *sparklooptest.Server) map[string]int {
	n := make(map[string]int)
	for _, r := range api.Requests() {
		parts := strings.Split(r.Path, "/")
		if r.Method == http.MethodPost && len(parts) == 8 {
			n[parts[4]+"/"+parts[6]]++
		}
	}
	return n
}

// clicks creates conversions to be confirmed.
func clicks(api *sparklooptest.Server, n int) []sparkloop.Tracking {
	ts := make([]sparkloop.Tracking, n)
	for i := range ts {
		_, ts[i] = api.Click("", "")
	}
	return ts
}
