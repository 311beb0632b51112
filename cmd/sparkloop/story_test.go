package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// A shop exports 3,000 orders that it may not have confirmed, 40 % of them
// older than 45 days. It runs the command with an interruption. The report
// shows what was missing.
func TestAnExportOf3000Orders(t *testing.T) {
	t.Parallel()
	const orders, old = 3000, 1200
	d := newDesk(t)
	created := func(i int) time.Time {
		if i < old {
			return time.Now().AddDate(0, 0, -46-i%300)
		}
		return time.Now().Add(-time.Duration(orders-i) * 30 * time.Minute) // 37 days
	}
	ts := make([]sparkloop.Tracking, orders)
	missing := make(map[string]bool)
	for i := range ts {
		if i%3 == 0 {
			continue // this buyer did not come through SparkLoop
		}
		_, tr := d.api.Click("", "")
		ts[i] = sparkloop.Tracking{Offer: tr.Offer, Submission: "old-" + tr.Submission}
		if i >= old {
			ts[i] = tr
			missing[tr.Key()] = i%2 == 0
		}
		if i >= old && i%2 == 1 {
			_, err := d.api.Client().Conversions.Confirm(t.Context(), tr)
			require.NoError(t, err)
		}
	}
	before := len(d.api.Requests())
	file := d.write(t, "orders.csv", export(ts, created))
	args := []string{"confirm", "--from", file, "--since", "45d", "--report", d.path("report.csv")}

	got := d.run(t, "confirm", "--from", file, "--since", "45d", "--dry-run")
	assert.Equal(t, exitDone, got.code, got.err)
	assert.Contains(t, got.out, "would be sent         1200")
	assert.Len(t, d.api.Requests(), before)

	ctx, interrupt := context.WithCancel(t.Context())
	d.opts = append(d.opts, sparkloop.WithHTTPClient(&http.Client{Transport: &after{n: 500, interrupt: interrupt}}))
	got = d.with(ctx, t, strings.NewReader(""), args...)
	assert.Equal(t, exitFailed, got.code)
	d.opts = d.opts[:2]
	d.api.Fail(sparklooptest.LostAnswer(), 1)
	got = d.run(t, args...)
	require.Equal(t, exitDone, got.code, got.err)

	rows, n := d.report(t)
	require.Len(t, rows, 1+orders)
	lost := 0 // confirmations without a known time: the report says so
	for i, row := range rows[1:] {
		switch was, sent := missing[row[4]]; {
		case !sent:
			require.Equal(t, "not sent", row[1])
		case was:
			require.Equal(t, "confirmed now", row[1], row)
		case row[1] == "confirmed now":
			require.Contains(t, row[2], "possibly before")
			lost++
		default:
			require.Equal(t, "already confirmed", row[1])
		}
		require.Len(t, row, 5+8, i)
	}
	assert.LessOrEqual(t, lost, 1)
	assert.Equal(t, 600+lost, n["confirmed now"], "what was missing")
	assert.Equal(t, 600-lost, n["already confirmed"])
	assert.Equal(t, 1800, n["not sent"])
	assert.Contains(t, got.out, "     800  older than --since 45d\n")
	assert.Contains(t, got.out, "    1000  no tracking\n")
	for key, times := range asked(d.api) {
		assert.LessOrEqual(t, times, 3, key)
	}
}
