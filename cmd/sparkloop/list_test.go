package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/journal"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/sheet"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// export returns a shop's orders with their conversions in eight columns.
func export(ts []sparkloop.Tracking, created func(i int) time.Time) string {
	var text strings.Builder
	out := csv.NewWriter(&text)
	out.Write([]string{"order", "email", "created_at", "total", "offer_id", "note", "submission_id", "state"}) //nolint:errcheck // in memory
	for i, t := range ts {
		out.Write([]string{fmt.Sprint(1001 + i), "a@example.com", created(i).Format(time.DateTime), "19.99", t.Offer, "a, \"b\"\nc", t.Submission, "paid"}) //nolint:errcheck // likewise
	}
	out.Flush()
	return text.String()
}

func today(int) time.Time { return time.Now() }

// report reads a report: its rows, and the count of each result.
func (d *desk) report(t *testing.T) (rows [][]string, n map[string]int) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(d.read(t, "report.csv"))).ReadAll()
	require.NoError(t, err)
	n = make(map[string]int)
	for _, row := range rows[1:] {
		n[row[1]]++
	}
	return rows, n
}

func TestAListAndItsReport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.api.AddOffer(sparkloop.Offer{UUID: "offer_lead", ConversionType: "lead"})
	ts := clicks(d.api, 4)
	_, lead := d.api.Click("offer_lead", "")
	_, err := d.api.Client().Conversions.Confirm(t.Context(), ts[1])
	require.NoError(t, err)
	file := d.write(t, "in.csv", strings.Join([]string{
		"submission;order;offer",
		ts[0].Submission + ";1;" + ts[0].Offer,
		ts[1].Submission + ";2;" + ts[1].Offer,
		lead.Submission + ";3;" + lead.Offer,
		"submission_unknown;4;" + offer,
		";5;",
		ts[2].Submission + ";6;",
		ts[0].Submission + ";7;" + ts[0].Offer,
		offer + ";8;" + ts[3].Submission,
		"",
	}, "\n"))
	got := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	assert.Equal(t, exitFailed, got.code)
	assert.Equal(t, strings.Join([]string{
		`Reading offer from "offer", submission from "submission".`,
		`Line 7 is skipped: cannot be read: no offer in "offer"`,
		"Line 9 is skipped: cannot be read: the two IDs are swapped: the offer column holds a submission, or the submission column an offer",
		"",
	}, "\n"), got.err)
	rows, n := d.report(t)
	assert.Equal(t, []string{"line", "result", "reason", "answered_at", "conversion", "submission", "order", "offer"}, rows[0])
	assert.Equal(t, map[string]int{"confirmed now": 2, "already confirmed": 1, "refused": 4, "not sent": 1}, n)
	for i, want := range [][2]string{
		{"confirmed now", ""},
		{"already confirmed", ""},
		{"refused", "not an action offer"},
		{"refused", "submission not found"},
		{"not sent", "no tracking"},
		{"refused", `cannot be read: no offer in "offer"`},
		{"confirmed now", "the same conversion as in line 2"},
		{"refused", "cannot be read: the two IDs are swapped: the offer column holds a submission, or the submission column an offer"},
	} {
		row := rows[i+1]
		assert.Equal(t, fmt.Sprint(i+2), row[0])
		assert.Equal(t, want[0], row[1], row)
		assert.Equal(t, want[1], row[2], row)
		assert.Equal(t, fmt.Sprint(i+1), row[6], "the order's number")
	}
	at, err := time.Parse(time.RFC3339, rows[1][3])
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), at, time.Minute)
	assert.Equal(t, ts[0].Key(), rows[1][4])
	assert.Contains(t, got.out, "confirmed now            2\n                         1  the same conversion as in an earlier line\nalready confirmed        1\nrefused                  4\n")
	assert.Contains(t, got.out, "report.csv has a line for each.\n")
	for _, times := range asked(d.api) {
		assert.LessOrEqual(t, times, 2) // one by the test itself
	}

	before := len(d.api.Requests())
	again := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	assert.Equal(t, exitFailed, again.code)
	assert.Len(t, d.api.Requests(), before, "nothing is asked again")
	rowsAgain, _ := d.report(t)
	assert.Equal(t, rows, rowsAgain)
	assert.Contains(t, again.out, "2  by earlier runs over this file")
}

func TestEveryResultOfAListThatIsAllDone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ts := clicks(d.api, 50)
	got := d.with(t.Context(), t, strings.NewReader(export(ts, today)), "confirm", "--from", "-", "--journal", d.path("j"))
	require.Equal(t, exitDone, got.code, got.err)
	assert.Equal(t, strings.Join([]string{
		"confirmed now           50", "already confirmed        0", "refused                  0", "to be tried again        0", "not sent                 0", "",
	}, "\n"), got.out)
	for _, tr := range ts {
		require.True(t, d.api.Confirmed(tr))
	}
}

func TestSinceAndUnpaid(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ts := clicks(d.api, 5)
	row := func(i int, paid, created string) string {
		return ts[i].Offer + "," + ts[i].Submission + "," + paid + "," + created
	}
	day := func(ago int) string { return time.Now().AddDate(0, 0, -ago).Format(time.DateOnly) }
	file := d.write(t, "in.csv", strings.Join([]string{
		"offer,submission,paid_at,created_at",
		row(0, day(44), day(60)),
		row(1, day(46), day(60)),
		row(2, "", day(1)),
		row(3, "03/04/2026", day(1)),
	}, "\n"))
	got := d.run(t, "confirm", "--from", file, "--since", "45d", "--report", d.path("report.csv"))
	assert.Equal(t, exitFailed, got.code, "one line cannot be read")
	rows, _ := d.report(t)
	assert.Equal(t, "confirmed now", rows[1][1])
	assert.Equal(t, []string{"not sent", "older than --since 45d"}, rows[2][1:3])
	assert.Equal(t, []string{"not sent", `not paid: "paid_at" is empty or negative`}, rows[3][1:3])
	assert.Equal(t, []string{"refused", `cannot be read: "paid_at": unreadable time: write 2006-01-02 or 2006-01-02T15:04:05Z`}, rows[4][1:3])
	assert.Len(t, d.api.Requests(), 1)

	got = d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	assert.Equal(t, exitDone, got.code, got.err)
	rows, _ = d.report(t)
	assert.Equal(t, `not paid: "paid_at" is empty or negative`, rows[3][2], "without --since too")
	assert.False(t, d.api.Confirmed(ts[2]))
	assert.True(t, d.api.Confirmed(ts[3]), "and no other time matters")

	got = d.run(t, "confirm", "--from", file, "--time-column", "created_at")
	assert.Equal(t, exitDone, got.code, got.err)
	assert.True(t, d.api.Confirmed(ts[2]), "the user says that another column counts")

	file = d.write(t, "us.csv", "offer,submission,created_at\n"+ts[4].Offer+","+ts[4].Submission+",03/04/2026\n")
	got = d.run(t, "confirm", "--from", file, "--since", "45d")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.err, `"created_at": unreadable time`)
	assert.False(t, d.api.Confirmed(ts[4]))
}

func TestADryRunSendsAndWritesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.env["SPARKLOOP_API_KEY"] = ""
	ts := clicks(d.api, 7)
	file := d.write(t, "in.csv", export(ts, today)+"1,,,,,,,\n")
	got := d.run(t, "confirm", "--from", file, "--dry-run", "--since", "45d", "--report", d.path("report.csv"))
	assert.Equal(t, exitDone, got.code, got.err)
	assert.Contains(t, got.out, `Reading offer from "offer_id", submission from "submission_id".`)
	assert.Contains(t, got.out, "LINE  OFFER           SUBMISSION")
	assert.Contains(t, got.out, "2     "+ts[0].Offer+"  "+ts[0].Submission)
	assert.Contains(t, got.out, "and 2 more\n")
	assert.Contains(t, got.out, "would be sent            7\nrefused                  0\nnot sent                 1\n                         1  no tracking\n")
	assert.Contains(t, got.out, "nothing was sent, and no file was written")
	bad := d.with(t.Context(), t, strings.NewReader("offer,submission\no,\n"), "confirm", "--from", "-", "--dry-run")
	assert.Equal(t, exitFailed, bad.code, "a line is refused")
	assert.Contains(t, bad.out, "would be sent            0\nrefused                  1\n")
	assert.Empty(t, d.api.Requests())
	files, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	assert.Len(t, files, 1)
}

// A run that a signal ended resumes when started again. It still tells newly
// confirmed conversions from earlier ones.
func TestTheSplitSurvivesAnInterruption(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ts := clicks(d.api, 60)
	known := make(map[string]bool)
	for _, tr := range ts[20:30] {
		_, err := d.api.Client().Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)
		known[tr.Key()] = true
	}
	file := d.write(t, "in.csv", export(ts, today))
	ctx, interrupt := context.WithCancel(t.Context())
	d.opts = append(d.opts, sparkloop.WithHTTPClient(&http.Client{Transport: &after{n: 25, interrupt: interrupt}}))
	got := d.with(ctx, t, strings.NewReader(""), "confirm", "--from", file, "--report", d.path("report.csv"))
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.err, "interrupted. Run the same command again")
	_, n := d.report(t)
	assert.GreaterOrEqual(t, n["to be tried again"], 30)
	assert.Zero(t, n["refused"])

	d.opts = d.opts[:2]
	got = d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	require.Equal(t, exitDone, got.code, got.err)
	rows, n := d.report(t)
	assert.Equal(t, map[string]int{"confirmed now": 50, "already confirmed": 10}, n)
	for _, row := range rows[1:] {
		assert.Equal(t, known[row[4]], row[1] == "already confirmed", row)
	}
	for key, times := range asked(d.api) {
		assert.LessOrEqual(t, times, 2, key)
	}
	assert.Contains(t, got.out, "by earlier runs over this file")
}

// after interrupts a run with the nth request.
type after struct {
	n         int64
	interrupt func()
	sent      atomic.Int64
}

func (a *after) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.sent.Add(1) == a.n {
		a.interrupt()
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in, typist := io.Pipe()
	defer typist.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	got := d.with(ctx, t, in, "confirm", "--from", "-", "--journal", d.path("j"))
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.err, "nothing was sent")
	got = d.with(t.Context(), t, io.MultiReader(strings.NewReader("offer,submission\no,subm"), broken{}), "confirm", "--from", "-", "--journal", d.path("j"))
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.err, "nothing was sent")
	assert.Empty(t, d.api.Requests())
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestTheFirstTenAnswersNotFound(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	good := clicks(d.api, 1)[0]
	rows := []string{"offer,submission"}
	for i := range 30 {
		rows = append(rows, fmt.Sprintf("%s,order-%d", offer, 1000+i))
	}
	rows = append(rows, good.Offer+","+good.Submission)
	file := d.write(t, "in.csv", strings.Join(rows, "\n"))
	got := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.err, `the first 10 answers are all "not found": check the columns (offer from "offer", submission from "submission")`)
	assert.Contains(t, got.err, "--keep-going")
	assert.Len(t, d.api.Requests(), 10)
	_, n := d.report(t)
	assert.Equal(t, map[string]int{"refused": 10, "to be tried again": 21}, n)

	got = d.run(t, "confirm", "--from", file, "--keep-going")
	assert.Equal(t, exitFailed, got.code)
	assert.Len(t, d.api.Requests(), 31)
	assert.True(t, d.api.Confirmed(good))

	// One good answer among the first is enough.
	d2 := newDesk(t)
	good = clicks(d2.api, 1)[0]
	rows[9] = good.Offer + "," + good.Submission
	d2.run(t, "confirm", "--from", d2.write(t, "in.csv", strings.Join(rows[:31], "\n")))
	assert.Len(t, d2.api.Requests(), 30)
	// A list of only ten missing conversions is sent completely.
	d3 := newDesk(t)
	got = d3.run(t, "confirm", "--from", d3.write(t, "in.csv", "offer,submission\n"+strings.Repeat(offer+",a\n", 1)+strings.Join(rows[10:19], "\n")))
	assert.Equal(t, exitFailed, got.code)
	assert.NotContains(t, got.err, "stopped")
	assert.Len(t, d3.api.Requests(), 10)
}

func TestCallsThatWouldAllFailAlikeStopTheRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		key   string
		fault sparklooptest.Fault
		code  int
		most  int // requests
		says  string
		why   string
	}{
		{"wrong key", "wrong", sparklooptest.Fault{}, exitUsage, 4 * workers, "stopped: SparkLoop rejects the API key", "unauthorized"},
		{"told to wait", "", sparklooptest.Status(http.StatusServiceUnavailable, "", "Retry-After", "600"), exitFailed, 4 * workers, "stopped: SparkLoop requests a pause: try again in 10m0s", "503 Service Unavailable"},
		{"outage", "", sparklooptest.Reset(), exitFailed, 4 * (enough + workers), "stopped: 10 calls in a row failed", "no answer"},
		{"something else answers", "", sparklooptest.HTMLPage(), exitFailed, 4 * (enough + workers), "stopped: 10 calls in a row failed", "unexpected response"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			ts := clicks(d.api, 60)
			d.opts = append(d.opts, sparkloop.WithRetries(0))
			if tt.key != "" {
				d.env["SPARKLOOP_API_KEY"] = tt.key
			} else {
				d.api.Fail(tt.fault, -1)
			}
			file := d.write(t, "in.csv", export(ts, today))
			got := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
			assert.Equal(t, tt.code, got.code, got.err)
			assert.Contains(t, got.err, tt.says)
			assert.Contains(t, got.out, tt.why)
			assert.Contains(t, got.out, notAsked)
			assert.LessOrEqual(t, len(d.api.Requests()), tt.most)
			_, n := d.report(t)
			assert.Equal(t, map[string]int{"to be tried again": 60}, n)

			d.api.Fail(tt.fault, 0)
			d.env["SPARKLOOP_API_KEY"] = secret
			got = d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
			assert.Equal(t, exitDone, got.code, got.err)
		})
	}
}

func TestALostAnswerIsNoConfirmationFromBefore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ts := clicks(d.api, 3)
	d.opts = append(d.opts, sparkloop.WithRetries(0))
	d.api.Fail(sparklooptest.LostAnswer(), 1)
	file := d.write(t, "in.csv", export(ts, today))
	got := d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	assert.Equal(t, exitFailed, got.code)
	_, n := d.report(t)
	assert.Equal(t, map[string]int{"confirmed now": 2, "to be tried again": 1}, n)
	got = d.run(t, "confirm", "--from", file, "--report", d.path("report.csv"))
	require.Equal(t, exitDone, got.code, got.err)
	_, n = d.report(t)
	assert.Equal(t, map[string]int{"confirmed now": 3}, n)
	assert.Contains(t, d.read(t, "report.csv"), "possibly before: the answer to an earlier attempt was lost")

	// The same happens within one call.
	d = newDesk(t)
	d.api.Fail(sparklooptest.LostAnswer(), 1)
	got = d.run(t, "confirm", "--from", d.write(t, "in.csv", export(clicks(d.api, 3), today)))
	assert.Equal(t, exitDone, got.code, got.err)
	assert.Contains(t, got.out, "confirmed now            3\n")
	// A 503 confirms nothing.
	d = newDesk(t)
	d.opts = append(d.opts, sparkloop.WithRetries(0))
	ts = clicks(d.api, 1)
	file = d.write(t, "in.csv", export(ts, today))
	d.api.Fail(sparklooptest.Status(503, ""), 1)
	assert.Equal(t, exitFailed, d.run(t, "confirm", "--from", file).code)
	_, err := d.api.Client().Conversions.Confirm(t.Context(), ts[0])
	require.NoError(t, err)
	assert.Contains(t, d.run(t, "confirm", "--from", file).out, "already confirmed        1\n")
}

func TestAListAtThePaceOfTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := inMemory(t)
		ts := clicks(d.api, 300)
		d.api.Fail(sparklooptest.Status(429, ""), 2)
		begun := time.Now()
		got := d.with(t.Context(), t, strings.NewReader(export(ts, today)), "confirm", "--from", "-", "--journal", d.path("j"))
		assert.Equal(t, exitDone, got.code, got.err)
		assert.Contains(t, got.out, "confirmed now          300")
		assert.Less(t, time.Since(begun), 6*time.Minute)
		for _, r := range d.api.Requests()[2:] {
			assert.Equal(t, 200, r.Status)
		}
	})
}

func TestASecondRunOnTheSameFilesIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := d.write(t, "in.csv", export(clicks(d.api, 1), today))
	for i, args := range [][]string{
		{"confirm", "--from", file},
		{"confirm", "--from", file, "--journal", d.path("another")},
		{"confirm", "--from", d.write(t, "other.csv", d.read(t, "in.csv")), "--report", d.path("report.csv")},
		{"confirm", "--from", d.path("other.csv"), "--journal", file + ".journal"},
	} {
		unlock, err := lockAll(file, file+".journal", d.path("report.csv"))
		require.NoError(t, err)
		got := d.run(t, args...)
		assert.Equal(t, exitUsage, got.code, i)
		assert.Contains(t, got.err, "is in use by another run", i)
		unlock()
	}
	assert.Empty(t, d.api.Requests())
	assert.Equal(t, exitDone, d.run(t, "confirm", "--from", file).code)
}

func TestAJournalThatCannotBeWrittenStopsTheRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j, err := journal.Open(d.path("j"), "api", "key")
	require.NoError(t, err)
	j.Close()
	client, err := sparkloop.New(secret, append(d.opts, sparkloop.WithBaseURL(d.api.URL()))...)
	require.NoError(t, err)
	l := &list{app: &app{err: io.Discard}, client: client, journal: j, now: time.Now, flags: listFlags{keepGoing: true}}
	for _, tr := range clicks(d.api, 60) {
		l.jobs = append(l.jobs, &job{line: sheet.Line{Tracking: tr}, result: toBeTried})
	}
	require.ErrorContains(t, l.confirmAll(t.Context(), l.jobs), "the journal cannot be written")
	assert.LessOrEqual(t, len(d.api.Requests()), workers)
}
