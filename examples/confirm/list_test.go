package main

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestAMixedListIsConfirmed(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ts, _ := clicks(api, 6)
	d := newDesk(t, api)
	got := d.list(t.Context(),
		"\uFEFFOffer,Submission,order\r",
		ts[0].Encode()+"\r",
		row(ts[1])+"\r",
		"",
		`"`+ts[2].Offer+`","`+ts[2].Submission+`","7, ""rush"""`,
		"  \t",
		ts[3].Offer+" , "+ts[3].Submission+",,,",
		",,",
		row(ts[1])+",again",
		"\uFEFFoffer,submission",
		ts[1].Encode(),
		row(ts[4])+`,"a note`,
		`over three lines`,
		`"`,
		row(ts[5]), // and no line end
	)
	assert.Equal(t, exitDone, got.code, got)
	assert.Empty(t, got.stderr, "no terminal, no progress line")
	assert.Equal(t, strings.Join([]string{
		"confirmed now                  6",
		"already confirmed              0",
		"refused                        0",
		"to try again                   0",
		"repeated lines                 2  asked once",
		"",
	}, "\n"), got.stdout)
	for _, tracking := range ts {
		assert.True(t, api.Confirmed(tracking), tracking.Key())
		assert.Equal(t, 1, asked(api)[tracking.Key()])
	}
	assert.Empty(t, d.read(t, "retry.csv"))
	assert.Empty(t, d.read(t, "refused.csv"))
}

func TestWhatIsRefusedIsListedWithItsReasonAndStopsNothing(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	api.AddOffer(sparkloop.Offer{UUID: "offer_lead", ConversionType: sparkloop.ConversionLead, RedirectURL: "https://example.com"})
	_, lead := api.Click("offer_lead", "")
	ts, rows := clicks(api, 2)
	d := newDesk(t, api)
	list := []string{
		rows[0],
		offer + ",nobody,order 12",
		offer + ",../admin",
		row(lead),
		"offer_none,submission_1",
		"v1.offer_1.submission_1.soon",
		offer + `,sub"mission`,
		`"=1+1",x`,
		offer + `,submission_1,"not closed`,
		rows[1],
	}
	got := d.list(t.Context(), list...)
	assert.Equal(t, exitIncomplete, got.code, got)
	for _, tracking := range ts {
		assert.True(t, api.Confirmed(tracking))
	}
	assert.Len(t, asked(api), 5, "malformed lines are not sent")
	for _, line := range []string{"line 3 is", "line 6 is", "line 7 is", "line 8 is", "line 9 is"} {
		assert.Contains(t, got.stderr, line)
	}
	assert.Contains(t, got.stdout, "refused                        8  listed in "+d.path("refused.csv"))
	for _, reason := range []string{"1  submission not found", "1  offer not found", "1  not an action offer"} {
		assert.Contains(t, got.stdout, reason)
	}
	refusedRows, err := readRefused(d.path("refused.csv"))
	require.NoError(t, err)
	require.Len(t, refusedRows, 8)
	assert.Equal(t, []string{offer, "nobody", "submission not found", "2", list[1]}, refusedRows[0])
	assert.Equal(t, []string{"", "", refusedRows[1][2], "3", list[2]}, refusedRows[1])
	assert.Equal(t, `"\"=1+1\",x"`, refusedRows[6][4])
	assert.Empty(t, d.read(t, "retry.csv"))

	again := d.list(t.Context(), list...)
	assert.Equal(t, exitIncomplete, again.code, "it is still refused")
	assert.Len(t, api.Requests(), 5, "and asked only once")
	assert.Contains(t, again.stdout, "confirmed by earlier runs      2  not asked again")
	assert.Contains(t, again.stdout, "1  submission not found")
	same, err := readRefused(d.path("refused.csv"))
	require.NoError(t, err)
	assert.Equal(t, refusedRows, same)
}

func TestTheRetryFileIsTheNextList(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ts, _ := clicks(api, 4)
	d := newDesk(t, api)
	d.opts = append(d.opts, sparkloop.WithRetries(0))
	api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), 4)
	list := []string{"offer,submission,order", row(ts[0]) + ",12", ts[1].Encode(), `"` + ts[2].Offer + `",` + ts[2].Submission + `,"two`, `lines"`, row(ts[3])}
	got := d.list(t.Context(), list...)
	assert.Equal(t, exitIncomplete, got.code, got)
	assert.Contains(t, got.stdout, "to try again                   4  listed in "+d.path("retry.csv"))
	assert.Contains(t, got.stdout, "4  503 Service Unavailable")
	assert.Contains(t, got.stderr, "the first failure: sparkloop: confirm ")
	retry := d.read(t, "retry.csv")
	assert.Equal(t, strings.Join(list, "\n")+"\n", retry, "each line as it came")

	// A run with another list in between leaves it alone.
	more, moreRows := clicks(api, 1)
	require.Equal(t, exitDone, d.list(t.Context(), moreRows...).code)
	require.True(t, api.Confirmed(more[0]))
	assert.Equal(t, retry, d.read(t, "retry.csv"))

	got = d.list(t.Context(), retry)
	assert.Equal(t, exitDone, got.code, got)
	for _, tracking := range ts {
		assert.True(t, api.Confirmed(tracking))
	}
	assert.Empty(t, d.read(t, "retry.csv"), "nothing is left")
}

func TestLostAnswers(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ts, rows := clicks(api, 12)
	d := newDesk(t, api)
	d.opts = append(d.opts, sparkloop.WithRetries(0))
	api.Fail(sparklooptest.LostAnswer(), 5)
	got := d.list(t.Context(), rows...)
	assert.Equal(t, exitIncomplete, got.code, got)
	assert.Contains(t, got.stdout, "confirmed now                  7")
	assert.Contains(t, got.stdout, "5  no answer")

	got = d.list(t.Context(), rows...)
	assert.Equal(t, exitDone, got.code, got)
	assert.Contains(t, got.stdout, "already confirmed              5")
	assert.Contains(t, got.stdout, "confirmed by earlier runs      7")
	for _, tracking := range ts {
		assert.True(t, api.Confirmed(tracking))
	}
}

func TestALostAnswerIsAskedForAgainAtOnce(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	_, rows := clicks(api, 12)
	api.Fail(sparklooptest.LostAnswer(), 2) // both may meet the same conversion
	got := newDesk(t, api).list(t.Context(), rows...)
	assert.Equal(t, exitDone, got.code, got)
	assert.Regexp(t, `already confirmed +[12]\n`, got.stdout)
	assert.Len(t, api.Requests(), len(rows)+2)
}

func TestTheClientsLimitSetsThePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		ts, rows := clicks(api, 300)
		start := time.Now()
		got := newDeskInMemory(t, api).list(t.Context(), rows...)
		assert.Equal(t, exitDone, got.code, got)
		assert.Equal(t, turn(len(ts)-1), time.Since(start), "no wait was too long for a call, and none longer than needed")
		require.Len(t, api.Requests(), len(ts))
		for _, r := range api.Requests() {
			assert.Equal(t, http.StatusOK, r.Status)
		}
	})
}

func TestAFullLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		_, rows := clicks(api, 100)
		shop := api.Client()
		for range 120 {
			_, err := shop.Offers.Get(t.Context(), offer)
			require.NoError(t, err)
		}
		got := newDeskInMemory(t, api).list(t.Context(), rows...)
		assert.Equal(t, exitDone, got.code, got)
		assert.Contains(t, got.stdout, "confirmed now                100")
		refused := len(api.Requests()) - 120 - len(rows)
		assert.Positive(t, refused)
		assert.Less(t, refused, 60, "it does not insist")
	})
}

func TestAnEmptyListIsDone(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	assert.Equal(t, exitDone, newDesk(t, api).list(t.Context(), "offer,submission", "").code)
	assert.Empty(t, api.Requests())
}
