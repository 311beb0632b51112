package main

import (
	"context"
	"flag"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// program runs the shop until stop, which returns how it ended.
func program(t *testing.T, env map[string]string, args ...string) (out *programtest.Output, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out = &programtest.Output{}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, args, programtest.Env(env), out)
	}()
	return out, func() error {
		cancel()
		return <-ended
	}
}

func TestTheProgram(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "shop.db")
	out, stop := program(t, nil, "-addr", "127.0.0.1:0", "-db", db)
	link := out.Find(t, `click +(http://\S+)\n`)
	home := out.Find(t, `shop +(http://\S+/)\n`)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	v := &visitor{t: t, home: home[:len(home)-1], http: &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}, jar: jar}

	require.Equal(t, http.StatusOK, v.get(link))
	assert.Equal(t, "/?utm_source=newsletter", v.at.RequestURI())
	v.signUp(reader)
	v.buy()
	status := out.Find(t, `status +(http://\S+)\n`)
	require.Eventually(t, func() bool {
		return v.get(status) == http.StatusOK && strings.Contains(v.page, `class="what confirmed"`)
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, stop())
	assert.Contains(t, out.String(), "The shop is closed.")

	// With the same file it goes on.
	out, stop = program(t, nil, "-addr", "127.0.0.1:0", "-db", db)
	v.home = out.Find(t, `shop +(http://\S+)/\n`)
	require.Equal(t, http.StatusOK, v.get("/status"))
	assert.Contains(t, v.page, `class="what confirmed"`)
	require.NoError(t, stop())
}

func TestTheProgramLeavesNothing(t *testing.T) {
	t.Parallel()
	path, remove, err := databasePath("")
	require.NoError(t, err)
	remove()
	_, err = os.Stat(filepath.Dir(path))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWithAKey(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	env := map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey, "SPARKLOOP_BASE_URL": api.URL()}
	out, stop := program(t, env, "-addr", "127.0.0.1:0")
	home := out.Find(t, `shop +(http://\S+/)\n`)
	out.Find(t, `(Ctrl-C)`)
	assert.Contains(t, out.String(), "purchases are confirmed at SparkLoop itself")
	assert.NotContains(t, out.String(), clickPath)
	resp, err := http.Get(home[:len(home)-1] + clickPath)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.NoError(t, stop())

	env["SPARKLOOP_API_KEY"] = "other-key"
	err = run(t.Context(), nil, programtest.Env(env), out)
	require.ErrorIs(t, err, sparkloop.ErrUnauthorized)
	require.ErrorContains(t, err, "Without a key, the shop uses a fake SparkLoop")
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	none := programtest.Env(nil)
	var out programtest.Output
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, none, &out), flag.ErrHelp)
	assert.Contains(t, out.String(), "SPARKLOOP_API_KEY")
	require.ErrorContains(t, run(t.Context(), []string{"-x"}, none, &out), "-x")
	require.ErrorContains(t, run(t.Context(), []string{"x"}, none, &out), `unknown argument "x"`)
	require.ErrorContains(t, run(t.Context(), []string{"-domain", "com"}, none, &out), "Domain")
	require.ErrorContains(t, run(t.Context(), []string{"-db", t.TempDir()}, none, &out), "open")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.ErrorContains(t, run(t.Context(), []string{"-addr", taken.Addr().String()}, none, &out), "in use")
}
