package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

type outcome struct {
	code           int
	stdout, stderr string
}

// list runs the command against the server.
func list(t *testing.T, api *sparklooptest.Server, key string, args ...string) outcome {
	t.Helper()
	env := map[string]string{"SPARKLOOP_API_KEY": key, "SPARKLOOP_BASE_URL": api.URL()}
	var stdout, stderr strings.Builder
	code := run(t.Context(), args, func(name string) string { return env[name] }, &stdout, &stderr,
		sparkloop.WithBackoff(time.Millisecond, 2*time.Millisecond))
	return outcome{code, stdout.String(), stderr.String()}
}

func TestTable(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	api.AddOffer(sparkloop.Offer{
		UUID: "offer_evil", Name: "Win\x1b[2J\r\n\u202e" + strings.Repeat("long ", 20), Status: "paused\a",
		ConversionType: "lead", CPA: 12_345_678,
	})
	assert.Equal(t, outcome{0, strings.Join([]string{
		"ID              NAME                                      TYPE    EVENT  CPA         STATUS",
		"offer_evil      Win [2J long long long long long long l…  lead    -      $12.345678  paused",
		"offer_1234abcd  Free trial                                action  trial  $2.35       active",
		"",
		"2 offers",
		"",
	}, "\n"), ""}, list(t, api, sparklooptest.APIKey))
}

func TestAllPagesAreListed(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	for i := range 250 {
		api.AddOffer(sparkloop.Offer{Name: fmt.Sprintf("Offer %d", i)})
	}
	got := list(t, api, sparklooptest.APIKey)
	require.Equal(t, 0, got.code, got.stderr)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	assert.Len(t, lines, 1+251+2)
	assert.Equal(t, "251 offers", lines[len(lines)-1])
}

func TestNoOffers(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	api.Fail(sparklooptest.Status(200, `{"offers":[],"meta":{}}`), -1)
	assert.Equal(t, outcome{0, "no offers\n", ""}, list(t, api, sparklooptest.APIKey))
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		key   string
		args  []string
		fault sparklooptest.Fault
		code  int
		sent  bool
		says  string
	}{
		{name: "no key", code: 2, says: "listoffers: no API key: set SPARKLOOP_API_KEY\n"},
		{name: "no possible key", key: "two words", code: 2, says: "the API key has a space"},
		{name: "arguments", key: "k", args: []string{"x"}, code: 2, says: "usage: listoffers"},
		{name: "wrong key", key: "wrong", code: 1, sent: true, says: "look at SPARKLOOP_API_KEY"},
		{name: "too many requests", key: sparklooptest.APIKey, fault: sparklooptest.Status(429, ""), code: 1, sent: true, says: "again in a minute"},
		{name: "told to wait", key: sparklooptest.APIKey, fault: sparklooptest.Status(503, "", "Retry-After", "90"), code: 1, sent: true, says: "try again in 1m30s"},
		{name: "a page", key: sparklooptest.APIKey, fault: sparklooptest.HTMLPage(), code: 1, sent: true, says: "look at SPARKLOOP_BASE_URL"},
		{name: "no network", key: sparklooptest.APIKey, fault: sparklooptest.Reset(), code: 1, sent: true, says: "try again later"},
		{name: "final", key: sparklooptest.APIKey, fault: sparklooptest.Status(422, `{"error":"No offers for you"}`), code: 1, sent: true, says: "its support"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			if tt.fault.String() != "no fault" {
				api.Fail(tt.fault, -1)
			}
			got := list(t, api, tt.key, tt.args...)
			assert.Equal(t, tt.code, got.code)
			assert.Empty(t, got.stdout)
			assert.Contains(t, got.stderr, tt.says)
			assert.Equal(t, tt.sent, len(api.Requests()) > 0)
			if tt.key != "" && tt.key != "k" && tt.key != "wrong" {
				assert.NotContains(t, got.stderr, tt.key)
			}
		})
	}
}

func TestAListThatBreaksOffSaysSo(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	api := sparklooptest.NewServer(t)
	offers, err := collect(api.Client().Offers.All(t.Context()))
	require.NoError(t, err)
	require.NoError(t, printTable(&out, offers, false))
	assert.True(t, strings.HasSuffix(out.String(), "\n\n1 offer, and then the list broke off\n"), out.String())
}

func TestATableThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	assert.Error(t, printTable(full{}, []sparkloop.Offer{{UUID: "offer_1"}}, true))
	api := sparklooptest.NewServer(t)
	env := map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey}
	var stderr strings.Builder
	code := run(t.Context(), nil, func(name string) string { return env[name] }, full{}, &stderr,
		sparkloop.WithHTTPClient(&http.Client{Transport: api.Transport()}))
	assert.Equal(t, 1, code)
	assert.Equal(t, "listoffers: write the table: disk full\n", stderr.String())
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "-",
		" \t\n":                  "-",
		"Free trial":             "Free trial",
		"  two \u00a0  words ":   "two words",
		"a\x00b\x1b[31mc\u009bd": "a b [31mc d",
		"\u202eevil\u200b":       "evil",
		"\xff\xfeü":              "ü",
		"exactly12345":           "exactly12345",
		"exactly123456":          "exactly1234…",
		"日本語日本語日本語日本語":           "日本語日本語日本語日本語",
		"日本語日本語日本語日本語日":        "日本語日本語日本語日本…",
		"eleven chrs and more": "eleven chrs…",
	} {
		assert.Equal(t, want, printable(in, 12), "%q", in)
	}
}
