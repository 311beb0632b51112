package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// evil is an offer with terminal control characters in its texts.
var evil = sparkloop.Offer{
	UUID: "offer_evil", Name: "Win\x1b[2J\r\n\u202e" + strings.Repeat("long ", 20), Status: "paused\a",
	ConversionType: "lead", CPA: 12_345_678, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
}

func TestOffersAsATable(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.api.AddOffer(evil)
	assert.Equal(t, outcome{exitDone, strings.Join([]string{
		"ID              NAME                                      TYPE    EVENT  CPA         STATUS",
		"offer_evil      Win [2J long long long long long long l…  lead    -      $12.345678  paused",
		"offer_1234abcd  Free trial                                action  trial  $2.35       active",
		"",
		"2 offers",
		"",
	}, "\n"), ""}, d.run(t, "offers"))
}

func TestOffersForPrograms(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.api.AddOffer(evil)

	got := d.run(t, "offers", "--output", "json")
	require.Equal(t, exitDone, got.code, got.err)
	var offers []sparkloop.Offer
	require.NoError(t, json.Unmarshal([]byte(got.out), &offers))
	require.Len(t, offers, 2)
	assert.Equal(t, evil.Name, offers[0].Name)

	got = d.run(t, "offers", "-o", "csv")
	require.Equal(t, exitDone, got.code, got.err)
	rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	assert.Equal(t, []string{"id", "name", "type", "event", "cpa", "status", "created_at", "redirect_url"}, rows[0])
	assert.Equal(t, []string{"offer_evil", strings.ReplaceAll(evil.Name, "\r\n", "\n"), "lead", "", "12.345678", "paused\a", "2026-01-02T03:04:05Z", "https://example.com/welcome"}, rows[1])
}

func TestAllPagesAreListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 250 {
		d.api.AddOffer(sparkloop.Offer{Name: fmt.Sprintf("Offer %d", i)})
	}
	got := d.run(t, "offers")
	require.Equal(t, exitDone, got.code, got.err)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	assert.Len(t, lines, 1+251+2)
	assert.Equal(t, "251 offers", lines[len(lines)-1])
}

func TestNoOffers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.api.Fail(sparklooptest.Status(200, `{"offers":[],"meta":{}}`), -1)
	assert.Equal(t, outcome{exitDone, "0 offers\n", ""}, d.run(t, "offers"))
	assert.Equal(t, outcome{exitDone, "[]\n", ""}, d.run(t, "offers", "-o", "json"))
	assert.Equal(t, exitDone, d.run(t, "offers", "-o", "csv").code)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		key   string
		fault sparklooptest.Fault
		code  int
		says  string
	}{
		{name: "wrong key", key: "wrong", code: exitUsage, says: "correct SPARKLOOP_API_KEY"},
		{name: "too many requests", fault: sparklooptest.Status(429, ""), code: exitFailed, says: "again in a minute"},
		{name: "told to wait", fault: sparklooptest.Status(503, "", "Retry-After", "90"), code: exitFailed, says: "try again in 1m30s"},
		{name: "a page", fault: sparklooptest.HTMLPage(), code: exitFailed, says: "check SPARKLOOP_BASE_URL"},
		{name: "no network", fault: sparklooptest.Reset(), code: exitFailed, says: "try again later"},
		{name: "the key comes back", fault: sparklooptest.Status(400, `{"error":"bad key `+secret+`"}`), code: exitFailed, says: "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if tt.key != "" {
				d.env["SPARKLOOP_API_KEY"] = tt.key
			} else {
				d.api.Fail(tt.fault, -1)
			}
			got := d.run(t, "offers")
			assert.Equal(t, tt.code, got.code)
			assert.Empty(t, got.out)
			assert.Contains(t, got.err, tt.says)
			assert.NotEmpty(t, d.api.Requests())
		})
	}
}

func TestATableThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, format := range []string{"table", "json", "csv"} {
		var stderr strings.Builder
		a := &app{getenv: func(name string) string { return d.env[name] }, out: full{}, err: &stderr, opts: d.opts}
		assert.Equal(t, exitFailed, run(t.Context(), []string{"offers", "-o", format}, a))
		assert.Equal(t, "sparkloop: write the offers: disk full\n", stderr.String())
	}
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
