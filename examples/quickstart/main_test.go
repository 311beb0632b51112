package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// What changes from run to run: the port, the day, the submissions, and the time
// that it takes.
var varying = []struct {
	what *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\d+ \w+ \d{4}, 45 days`), "DAY, 45 days"},
	{regexp.MustCompile(`submission_[0-9a-f]{16}`), "submission_ID"},
	{regexp.MustCompile(`took \S+`), "took N ms"},
}

func TestTheStory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), programtest.Env(nil), &out))
	got := out.String()
	for _, v := range varying {
		got = v.what.ReplaceAllString(got, v.to)
	}
	want, err := os.ReadFile("testdata/output.txt")
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestWithAKeyItOnlyReads(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	s.AddOffer(sparkloop.Offer{Name: "a name that is \x1b[31mfar too long to be shown in whole", UUID: "offer_x"})
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), programtest.Env(map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey, "SPARKLOOP_BASE_URL": s.URL()}), &out))
	assert.Contains(t, out.String(), "The key works.")
	assert.Contains(t, out.String(), "offer_x")
	assert.Contains(t, out.String(), "Nothing was confirmed.")
	assert.NotContains(t, out.String(), "\x1b")
	for _, r := range s.Requests() {
		assert.Equal(t, "GET", r.Method)
	}
	assert.Len(t, s.Requests(), 1)
}

func TestAWrongKey(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	err := run(t.Context(), programtest.Env(map[string]string{"SPARKLOOP_API_KEY": "other-key", "SPARKLOOP_BASE_URL": s.URL()}), &bytes.Buffer{})
	require.ErrorIs(t, err, sparkloop.ErrUnauthorized)
	require.ErrorContains(t, err, "Without a key, the quickstart uses a fake SparkLoop")
	assert.NotContains(t, err.Error(), "other-key")

	err = run(t.Context(), programtest.Env(map[string]string{"SPARKLOOP_API_KEY": "k", "SPARKLOOP_BASE_URL": "x"}), &bytes.Buffer{})
	require.ErrorContains(t, err, "WithBaseURL")
}

func TestNoOffers(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	s.Fail(sparklooptest.Status(200, `{"offers":[],"meta":{}}`), 1)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), programtest.Env(map[string]string{"SPARKLOOP_API_KEY": sparklooptest.APIKey, "SPARKLOOP_BASE_URL": s.URL()}), &out))
	assert.Contains(t, out.String(), "none yet")
}
