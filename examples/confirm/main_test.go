package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// desk is where the command runs in a test: a folder for its files and an
// environment.
type desk struct {
	dir  string
	env  map[string]string
	opts []sparkloop.Option
}

// newDesk is one whose command calls the server over a socket, hardly waits
// between retries, and does not pace.
func newDesk(t *testing.T, api *sparklooptest.Server) *desk {
	t.Helper()
	return &desk{
		dir: t.TempDir(),
		env: map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey, "SPARKLOOP_BASE_URL": api.URL()},
		opts: []sparkloop.Option{
			sparkloop.WithBackoff(time.Millisecond, 2*time.Millisecond),
			sparkloop.WithRateLimit(0, 0),
		},
	}
}

// newDeskInMemory is one without a socket and with the client's own defaults,
// for use within a synctest bubble.
func newDeskInMemory(t *testing.T, api *sparklooptest.Server) *desk {
	t.Helper()
	return &desk{
		dir:  t.TempDir(),
		env:  map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey},
		opts: []sparkloop.Option{sparkloop.WithHTTPClient(&http.Client{Transport: api.Transport()})},
	}
}

type outcome struct {
	code           int
	stdout, stderr string
}

func (d *desk) run(ctx context.Context, stdin io.Reader, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	getenv := func(name string) string { return d.env[name] }
	code := run(ctx, args, getenv, stdin, &stdout, &stderr, d.opts...)
	return outcome{code, stdout.String(), stderr.String()}
}

// list runs the command on a list, with its files in the desk's folder.
func (d *desk) list(ctx context.Context, lines ...string) outcome {
	return d.run(ctx, strings.NewReader(strings.Join(lines, "\n")), d.listArgs()...)
}

func (d *desk) listArgs() []string {
	return []string{"-retry", d.path("retry.csv"), "-refused", d.path("refused.csv"), "-journal", d.path("journal"), "-"}
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

// read is a file's text, "" if there is none.
func (d *desk) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(d.path(name))
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(t, err)
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

func row(t sparkloop.Tracking) string { return t.Offer + "," + t.Submission }

// clicks are conversions that are waiting to be confirmed.
func clicks(api *sparklooptest.Server, n int) (ts []sparkloop.Tracking, rows []string) {
	for range n {
		_, t := api.Click("", "")
		ts, rows = append(ts, t), append(rows, row(t))
	}
	return ts, rows
}

const offer = sparklooptest.DefaultOffer

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		env   map[string]string // in place of the desk's
		args  []string
		stdin string
		code  int
		sent  int
		says  string // in one of the two outputs
	}{
		{name: "confirmed", args: []string{offer, "CLICK"}, code: 0, sent: 1, says: " is confirmed\n"},
		{name: "unknown submission", args: []string{offer, "nobody"}, code: 1, sent: 1, says: "This answer is final."},
		{name: "unknown offer", args: []string{"offer_none", "CLICK"}, code: 1, sent: 1, says: "404 Offer not found"},
		{name: "Lead offer", args: []string{"offer_lead", "LEAD"}, code: 1, sent: 1, says: "must be an action"},
		{name: "no id", args: []string{offer, "../admin"}, code: 2, says: "Nothing was sent"},
		{name: "empty id", args: []string{"", ""}, code: 2, says: "Nothing was sent"},
		{name: "wrong key", env: map[string]string{"SPARKLOOP_API_KEY": "wrong"}, args: []string{offer, "CLICK"}, code: 1, sent: 1, says: "look at SPARKLOOP_API_KEY"},
		{name: "no key", env: map[string]string{"SPARKLOOP_API_KEY": ""}, args: []string{offer, "CLICK"}, code: 2, says: "confirm: no API key: set SPARKLOOP_API_KEY\n"},
		{name: "no key, list", env: map[string]string{"SPARKLOOP_API_KEY": ""}, args: []string{"-"}, stdin: offer + ",CLICK", code: 2, says: "confirm: no API key: set SPARKLOOP_API_KEY\n"},
		{name: "key with a line end", env: map[string]string{"SPARKLOOP_API_KEY": "test-key\n"}, args: []string{offer, "CLICK"}, code: 2, says: "number 9 of 9"},
		{name: "no base URL", env: map[string]string{"SPARKLOOP_BASE_URL": "ftp://x"}, args: []string{offer, "CLICK"}, code: 2, says: "WithBaseURL"},
		{name: "no arguments", code: 2, says: "usage: confirm OFFER SUBMISSION"},
		{name: "one argument", args: []string{offer}, code: 2, says: "usage:"},
		{name: "three arguments", args: []string{offer, "CLICK", "x"}, code: 2, says: "usage:"},
		{name: "unknown flag", args: []string{"-key=secret", "-"}, code: 2, says: "usage:"},
		{name: "help", args: []string{"-h"}, code: 0, says: "usage:"},
		{name: "one file for two things", args: []string{"-retry", "a", "-refused", "./a", "-"}, code: 2, says: "three files"},
		{name: "no file name", args: []string{"-retry", "", "-"}, code: 2, says: "three files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			api.AddOffer(sparkloop.Offer{UUID: "offer_lead", ConversionType: sparkloop.ConversionLead, RedirectURL: "https://example.com"})
			_, click := api.Click("", "")
			_, lead := api.Click("offer_lead", "")
			known := strings.NewReplacer("CLICK", click.Submission, "LEAD", lead.Submission).Replace
			for i := range tt.args {
				tt.args[i] = known(tt.args[i])
			}
			d := newDesk(t, api)
			maps.Copy(d.env, tt.env)
			got := d.run(t.Context(), strings.NewReader(known(tt.stdin)), tt.args...)
			assert.Equal(t, tt.code, got.code, got)
			assert.Contains(t, got.stdout+got.stderr, tt.says)
			assert.Len(t, api.Requests(), tt.sent)
			if tt.code == 0 && tt.name != "help" {
				assert.Empty(t, got.stderr)
			}
		})
	}
}

func TestOneConversionAgainIsNoError(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ts, _ := clicks(api, 1)
	d := newDesk(t, api)
	args := []string{ts[0].Offer, ts[0].Submission}
	require.Equal(t, exitDone, d.run(t.Context(), nil, args...).code)
	got := d.run(t.Context(), nil, args...)
	assert.Equal(t, outcome{exitDone, ts[0].Key() + " was confirmed before\n", ""}, got)
	entries, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "one conversion leaves no files")
}

func TestOneConversionInterrupted(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := newDesk(t, api).run(ctx, nil, offer, "submission_x")
	assert.Equal(t, exitInterrupted, got.code)
	assert.Contains(t, got.stderr, "It is safe to try again.")
}

func TestTheKeyIsInNoOutputAndInNoFile(t *testing.T) {
	t.Parallel()
	const key = "sk_do_not_show_7f3a"
	api := sparklooptest.NewServer(t, sparklooptest.WithAPIKey(key))
	_, rows := clicks(api, 2)
	d := newDesk(t, api)
	d.env["SPARKLOOP_API_KEY"] = key
	api.Fail(sparklooptest.Status(http.StatusUnprocessableEntity, `{"error":"no such thing for `+key+`"}`), 1)
	got := d.list(t.Context(), append(rows, "bad line")...)
	require.Equal(t, exitIncomplete, got.code, got)
	api.Fail(sparklooptest.Status(http.StatusUnauthorized, `{"error":"`+key+` is unknown"}`), 1)
	one := d.run(t.Context(), nil, offer, "submission_x")
	require.Equal(t, exitIncomplete, one.code, one)

	var everything strings.Builder
	everything.WriteString(got.stdout + got.stderr + one.stdout + one.stderr)
	for _, name := range []string{"retry.csv", "refused.csv", "journal"} {
		everything.WriteString(d.read(t, name))
	}
	assert.Contains(t, everything.String(), "[redacted]")
	assert.NotContains(t, everything.String(), key)
}
