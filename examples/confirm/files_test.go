package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestAJournalLineCutByACrashCostsOneRepeatedCall(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	_, rows := clicks(api, 3)
	d := newDesk(t, api)
	require.Equal(t, exitDone, d.list(t.Context(), rows...).code)
	whole := d.read(t, "journal")
	last := strings.LastIndex(strings.TrimSuffix(whole, "\n"), "\n") + 1
	for cut := last; cut < len(whole)-1; cut++ {
		require.NoError(t, os.WriteFile(d.path("journal"), []byte(whole[:cut]), 0o600))
		got := d.list(t.Context(), rows...)
		require.Equal(t, exitDone, got.code, got)
		require.Contains(t, got.stdout, "already confirmed              1", "cut to %q", whole[last:cut])
		require.Contains(t, got.stdout, "confirmed by earlier runs      2")
		got = d.list(t.Context(), rows...)
		require.Contains(t, got.stdout, "confirmed by earlier runs      3", "the next line is whole again")
		require.Len(t, api.Requests(), 3+1+cut-last)
	}
}

func TestATrialAtAnotherAPIDoesNotCount(t *testing.T) {
	t.Parallel()
	staging, live := sparklooptest.NewServer(t), sparklooptest.NewServer(t)
	ts, rows := clicks(staging, 2)
	for _, tracking := range ts {
		live.AddSubmission(sparklooptest.Submission{Tracking: tracking})
	}
	d := newDesk(t, staging)
	require.Equal(t, exitDone, d.list(t.Context(), rows...).code)
	d.env["SPARKLOOP_BASE_URL"] = live.URL()
	got := d.list(t.Context(), rows...)
	assert.Contains(t, got.stdout, "confirmed now                  2")
	assert.True(t, live.Confirmed(ts[0]))
}

func TestForeignFilesAreNotTouched(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"retry.csv":   "customer,mail\n1,a@example.com\n",
		"refused.csv": "offer,submission\no,a\n",
		"journal":     "Dear diary\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			_, rows := clicks(api, 1)
			d := newDesk(t, api)
			require.NoError(t, os.WriteFile(d.path(name), []byte(text), 0o600))
			got := d.list(t.Context(), rows...)
			assert.Equal(t, exitUsage, got.code)
			assert.Contains(t, got.stderr, "name another file with -"+strings.TrimSuffix(name, ".csv"))
			assert.Equal(t, text, d.read(t, name))
			assert.Empty(t, api.Requests())
		})
	}
}

func TestFilesThatCannotBeWrittenAreNoticedBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	for i, flag := range []string{"-retry", "-refused", "-journal"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			_, rows := clicks(api, 1)
			d := newDesk(t, api)
			args := d.listArgs()
			args[2*i+1] = d.path("no/such/folder")
			got := d.run(t.Context(), strings.NewReader(rows[0]), args...)
			assert.Equal(t, exitUsage, got.code)
			assert.Contains(t, got.stderr, "no such file or directory")
			assert.Empty(t, api.Requests())
		})
	}
}

func TestTheRefusedFileKeepsWhatOtherListsLeft(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ts, rows := clicks(api, 1)
	d := newDesk(t, api)
	api.Fail(sparklooptest.Status(422, `{"error":"Not today"}`), 1)
	require.Equal(t, exitIncomplete, d.list(t.Context(), rows[0]).code)
	require.Equal(t, exitIncomplete, d.list(t.Context(), "bad line", "bad line").code)
	rowsNow, err := readRefused(d.path("refused.csv"))
	require.NoError(t, err)
	require.Len(t, rowsNow, 3)
	assert.Equal(t, []string{ts[0].Offer, ts[0].Submission, "422 Not today", "1", rows[0]}, rowsNow[0])

	// Without the journal everything is asked again; what is settled now goes.
	require.NoError(t, os.Remove(d.path("journal")))
	require.Equal(t, exitDone, d.list(t.Context(), rows[0]).code)
	rowsNow, err = readRefused(d.path("refused.csv"))
	require.NoError(t, err)
	require.Len(t, rowsNow, 2)
	assert.Equal(t, "bad line", rowsNow[0][4])
}

// A run that was killed before it wrote its files has a refusal in the journal
// alone. The row stays in the retry file, and ends in the refused one.
func TestARefusalIsNotForgottenByAKill(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ts, rows := clicks(api, 2)
	d := newDesk(t, api)
	d.opts = append(d.opts, sparkloop.WithRetries(0))
	api.Fail(sparklooptest.Status(503, ""), 1)
	require.Equal(t, exitIncomplete, d.list(t.Context(), rows[0]).code)
	retry := d.read(t, "retry.csv")
	api.Fail(sparklooptest.Status(422, `{"error":"Not today"}`), 1)
	require.Equal(t, exitIncomplete, d.list(t.Context(), retry).code)
	require.NoError(t, os.WriteFile(d.path("retry.csv"), []byte(retry), 0o600))
	require.NoError(t, os.Remove(d.path("refused.csv")))

	require.Equal(t, exitDone, d.list(t.Context(), rows[1]).code)
	assert.Equal(t, retry, d.read(t, "retry.csv"))
	require.Equal(t, exitIncomplete, d.list(t.Context(), retry).code)
	assert.Empty(t, d.read(t, "retry.csv"))
	refused, err := readRefused(d.path("refused.csv"))
	require.NoError(t, err)
	require.Len(t, refused, 1)
	assert.Equal(t, []string{ts[0].Offer, ts[0].Submission}, refused[0][:2])
	assert.Equal(t, 2, asked(api)[ts[0].Key()], "and it is not asked again")
}

func TestShownLosesNothingAndIsObeyedByNobody(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"o,a", "o;a", `"quoted"`, "=cmd()", "+1", "-x,y", "@x", "a\tb", "\x1b[2J", "a\nb", "\xff", "straße,ü"} {
		got := shown(text)
		if back, err := strconv.Unquote(got); err == nil {
			got = back
		}
		assert.Equal(t, text, got)
		assert.NotContains(t, "=+-@\x1b", shown(text)[:1])
	}
}
