package main

import (
	"bytes"
	"context"
	"flag"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// printed is what a program has printed so far.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// find waits for what matches and returns its first group.
func (p *printed) find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	require.Eventually(t, func() bool { return re.MatchString(p.String()) }, 20*time.Second, 5*time.Millisecond)
	return re.FindStringSubmatch(p.String())[1]
}

func TestTheProgram(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, ended := &printed{}, make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-page", "127.0.0.1:0", "-api", "127.0.0.1:0"}, out) }()
	click := out.find(t, `click +(http\S+)\n`)
	apiURL := out.find(t, `API +(http\S+)/\n`)
	page := out.find(t, `page +(http\S+)/\n`)

	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(click)
	require.NoError(t, err)
	resp.Body.Close()
	landing, err := resp.Location()
	require.NoError(t, err)
	assert.Equal(t, page, landing.Scheme+"://"+landing.Host)
	assert.NotEmpty(t, landing.Query().Get("submission"))
	resp, err = client.Get(landing.String())
	require.NoError(t, err)
	resp.Body.Close()
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "connect-src "+apiURL)

	resp, err = client.Get(apiURL + "/demo/pay?order=x")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	resp, err = client.PostForm(apiURL+"/demo/pay", url.Values{"order": {"x"}})
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode, "there is no such order")
	client.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended)
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	var out printed
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, &out), flag.ErrHelp)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.ErrorContains(t, run(t.Context(), []string{"-page", taken.Addr().String()}, &out), "in use")
	require.ErrorContains(t, run(t.Context(), []string{"-page", "127.0.0.1:0", "-api", taken.Addr().String()}, &out), "in use")
}
