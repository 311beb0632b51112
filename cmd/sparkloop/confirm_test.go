package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestConfirmOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tr := clicks(d.api, 1)[0]
	assert.Equal(t, outcome{exitDone, tr.Key() + " is now confirmed\n", ""}, d.run(t, "confirm", tr.Offer, tr.Submission))
	assert.Equal(t, outcome{exitDone, tr.Key() + " was already confirmed\n", ""}, d.run(t, "confirm", tr.Offer, tr.Submission))
	assert.True(t, d.api.Confirmed(tr))
}

func TestConfirmOneThatFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		offer, submission string
		key               string
		fault             sparklooptest.Fault
		code              int
		says              string
		sent              bool
	}{
		{name: "unknown", offer: offer, submission: "s", code: exitFailed, says: "Compare the two IDs", sent: true},
		{name: "swapped", offer: "submission_1234abcd", submission: offer, code: exitUsage, says: "the IDs are swapped"},
		{name: "no ID", offer: "a/b", submission: "s", code: exitUsage, says: "Nothing was sent"},
		{name: "an empty one", offer: "", submission: "s", code: exitUsage, says: "nothing was sent"},
		{name: "a wrong key", offer: offer, submission: "s", key: "wrong", code: exitUsage, says: "correct SPARKLOOP_API_KEY", sent: true},
		{name: "an outage", offer: offer, submission: "s", fault: sparklooptest.Status(503, ""), code: exitFailed, says: "Repeating is safe", sent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if tt.key != "" {
				d.env["SPARKLOOP_API_KEY"] = tt.key
			}
			if tt.fault.String() != "no fault" {
				d.api.Fail(tt.fault, -1)
			}
			got := d.run(t, "confirm", tt.offer, tt.submission)
			assert.Equal(t, tt.code, got.code)
			assert.Empty(t, got.out)
			assert.Contains(t, got.err, tt.says)
			assert.Equal(t, tt.sent, len(d.api.Requests()) > 0)
		})
	}
}

func TestConfirmUsage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := d.write(t, "in.csv", "offer,submission\no,s\n")
	for says, args := range map[string][]string{
		"give OFFER and SUBMISSION, or --from FILE":   {"confirm"},
		"give OFFER and SUBMISSION":                   {"confirm", "one"},
		"give either IDs or --from":                   {"confirm", "--from", file, "o"},
		"--since needs --from":                        {"confirm", "o", "s", "--since", "45d"},
		"--report needs --from":                       {"confirm", "o", "s", "--report", "x"},
		"--delimiter must be comma, semicolon or tab": {"confirm", "--from", file, "--delimiter", "|"},
		`"45" is neither an age`:                      {"confirm", "--from", file, "--since", "45"},
		"--since needs a column for the time":         {"confirm", "--from", file, "--since", "45d"},
		"must name different files":                   {"confirm", "--from", file, "--report", d.dir + "/./in.csv"},
		"no such file":                                {"confirm", "--from", d.path("none.csv")},
		"The column \"x\" given by --offer-column":    {"confirm", "--from", file, "--offer-column", "x"},
		"is not a report of this command":             {"confirm", "--from", file, "--report", d.write(t, "notes.txt", "Dear diary")},
		"is not a journal of this command":            {"confirm", "--from", file, "--journal", d.path("notes.txt")},
		"no such file or directory":                   {"confirm", "--from", file, "--report", d.path("no/such/folder.csv")},
	} {
		got := d.run(t, args...)
		assert.Equal(t, exitUsage, got.code, args)
		assert.Contains(t, got.err, says, args)
		assert.Empty(t, got.out, args)
		assert.Empty(t, d.api.Requests(), args)
	}
	assert.Equal(t, "Dear diary", d.read(t, "notes.txt"))
	d.env["SPARKLOOP_API_KEY"] = ""
	for _, args := range [][]string{{"confirm", "o", "s"}, {"confirm", "--from", file}} {
		got := d.run(t, args...)
		assert.Equal(t, exitUsage, got.code)
		assert.Contains(t, got.err, "set SPARKLOOP_API_KEY")
	}
}

func TestAFileThatIsNotUnderstoodIsShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := d.write(t, "orders.csv", "Bestellung;Angebot;Einsendung\n1001;offer_1234abcd;submission_1234abcd\n1002;;\x1b[2J\n")
	got := d.run(t, "confirm", "--from", file)
	assert.Equal(t, outcome{exitUsage, "", strings.Join([]string{
		"sparkloop: nothing was sent. No column has a known name for the offer and the submission.",
		"The first rows, as read:",
		"",
		"   Bestellung  Angebot         Einsendung",
		"   1001        offer_1234abcd  submission_1234abcd",
		"   1002        -               [2J",
		"",
		`Give --offer-column "Angebot" --submission-column "Einsendung", or --tracking-column NAME, or --url-column NAME for landing URLs. ` +
			"If the first line is data, add a line with column names before it. " +
			"If the columns are split wrongly above, give --delimiter comma, semicolon or tab.",
		"",
	}, "\n")}, got)
	assert.Empty(t, d.api.Requests())
	assert.Empty(t, d.read(t, "orders.csv.journal"))

	tr := clicks(d.api, 1)[0]
	file = d.write(t, "orders.csv", "Bestellung;Angebot;Einsendung\n1001;"+tr.Offer+";"+tr.Submission+"\n")
	got = d.run(t, "confirm", "--from", file, "--offer-column", "Angebot", "--submission-column", "Einsendung")
	require.Equal(t, exitDone, got.code, got.err)
	assert.True(t, d.api.Confirmed(tr))
}
