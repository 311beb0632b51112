package main

import (
	"context"
	"flag"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
)

func TestTheProgram(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, ended := &programtest.Output{}, make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-page", "127.0.0.1:0", "-api", "127.0.0.1:0"}, out) }()
	click := out.Find(t, `click +(http\S+)\n`)
	apiURL := out.Find(t, `API +(http\S+)/\n`)
	page := out.Find(t, `page +(http\S+)/\n`)

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
	var out programtest.Output
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, &out), flag.ErrHelp)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.ErrorContains(t, run(t.Context(), []string{"-page", taken.Addr().String()}, &out), "in use")
	require.ErrorContains(t, run(t.Context(), []string{"-page", "127.0.0.1:0", "-api", taken.Addr().String()}, &out), "in use")
}
