package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestCheckOfAGoodAccount(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.api.AddOffer(sparkloop.Offer{UUID: "offer_lead", Name: "Leads\x1b[2J", ConversionType: "lead"})
	_, tr := d.api.Click("", "")
	assert.Equal(t, outcome{exitDone, strings.Join([]string{
		"ok  key      accepted",
		"ok  address  " + d.api.URL() + " answers; the first confirmation finds the spelling of the conversion endpoint",
		"ok  clock    right, within 1s of the server's",
		"ok  offers   2 offers, 1 of the type action",
		"  offer_lead  lead  active  Leads [2J",
		"  offer_1234abcd  action  active  Free trial",
		"",
	}, "\n"), ""}, d.run(t, "check"))
	for _, r := range d.api.Requests() {
		assert.Equal(t, http.MethodGet, r.Method)
	}
	assert.False(t, d.api.Confirmed(tr))
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		key   string
		fault sparklooptest.Fault
		code  int
		says  []string
	}{
		{
			name: "wrong key", key: "wrong", code: exitUsage,
			says: []string{"FAIL  key      rejected (401): correct SPARKLOOP_API_KEY", "ok    address", "ok    clock", "?     offers"},
		},
		{
			name: "no answer", fault: sparklooptest.Reset(), code: exitFailed,
			says: []string{"?     key", "FAIL  address", "does not answer: check the network", "?     clock", "?     offers"},
		},
		{
			name: "a page", fault: sparklooptest.HTMLPage(), code: exitFailed,
			says: []string{"?     key", "FAIL  address", "correct SPARKLOOP_BASE_URL"},
		},
		{
			name: "an outage", fault: sparklooptest.Status(503, "<html>"), code: exitFailed,
			says: []string{"FAIL  address", "try again later"},
		},
		{
			name: "too many requests", fault: sparklooptest.Status(429, ""), code: exitFailed,
			says: []string{"FAIL  address", "again in a minute"},
		},
		{
			name: "a firewall", fault: sparklooptest.Status(403, "<html>"), code: exitFailed,
			says: []string{"FAIL  address", "access denied"},
		},
		{
			name: "another API", fault: sparklooptest.Status(404, "<html>"), code: exitFailed,
			says: []string{"FAIL  address", "correct SPARKLOOP_BASE_URL"},
		},
		{
			name: "no offers", fault: sparklooptest.Status(200, `{"offers":[],"meta":{}}`), code: exitFailed,
			says: []string{"ok    key", "ok    address", "FAIL  offers   none: create an Action offer"},
		},
		{
			name: "no Action offers", fault: sparklooptest.Status(200, `{"offers":[{"uuid":"o","conversion_type":"Lead"}],"meta":{"page":1,"per_page":200,"total_pages":1,"total_offers":1}}`), code: exitFailed,
			says: []string{"ok    key", "FAIL  offers   1 offer, none of the type action", "  o  lead  -  -"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if tt.key != "" {
				d.env["SPARKLOOP_API_KEY"] = tt.key
			} else {
				d.api.Fail(tt.fault, -1)
			}
			got := d.run(t, "check")
			assert.Equal(t, tt.code, got.code)
			assert.Empty(t, got.err)
			for _, says := range tt.says {
				assert.Contains(t, got.out, says)
			}
			assert.Equal(t, strings.Count(got.out, "\n"), strings.Count(got.out, "ok    ")+strings.Count(got.out, "FAIL  ")+strings.Count(got.out, "?     ")+
				strings.Count(got.out, "\n  "), "one line a finding: %s", got.out)
		})
	}
}

// Without SPARKLOOP_BASE_URL the output names the published address that
// answers.
func TestCheckFindsTheAddress(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"/api/v2", "/v2"} {
		d := newDesk(t, sparklooptest.WithEndpoint(base, "conversion"))
		d.env["SPARKLOOP_BASE_URL"] = ""
		d.wire = d.api.Transport()
		got := d.run(t, "check")
		// In-memory answers have no Date.
		assert.Contains(t, got.out, "ok    address  https://api.sparkloop.app"+base+" answers")
		assert.Contains(t, got.out, "ok    key      accepted")
		assert.Contains(t, got.out, "ok    offers   1 offer, 1 of the type action")
		assert.Contains(t, got.out, "FAIL  clock    the server sends no Date")
		d.env["SPARKLOOP_API_KEY"] = "wrong"
		got = d.run(t, "check")
		assert.Equal(t, exitUsage, got.code)
		assert.Contains(t, got.out, "FAIL  key      rejected (401)")
		assert.Contains(t, got.out, "ok    address  https://api.sparkloop.app"+base+" answers")
		for _, r := range d.api.Requests() {
			assert.Equal(t, http.MethodGet, r.Method)
		}
	}
}

func TestCheckOfTheClock(t *testing.T) {
	t.Parallel()
	for ahead, says := range map[time.Duration]string{
		0:                 "ok    clock    right",
		30 * time.Second:  "ok    clock    right",
		10 * time.Minute:  "FAIL  clock    10m",
		-10 * time.Minute: "FAIL  clock    10m",
	} {
		d := newDesk(t)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			d.api.ServeHTTP(w, r)
		}))
		defer server.Close()
		d.env["SPARKLOOP_BASE_URL"] = server.URL + "/api/v2"
		got := d.run(t, "check")
		if strings.HasPrefix(says, "ok") {
			says = strings.Replace(says, "ok    ", "ok  ", 1)
			require.Equal(t, exitDone, got.code, got.out)
		} else {
			require.Equal(t, exitFailed, got.code)
			assert.Contains(t, got.out, map[bool]string{true: "behind the server", false: "ahead of the server"}[ahead > 0])
		}
		assert.Contains(t, got.out, says)
	}
}
