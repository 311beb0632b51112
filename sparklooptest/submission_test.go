package sparklooptest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestSubmissionsMoveToAnotherServer(t *testing.T) {
	t.Parallel()
	from, to := sparklooptest.NewServer(t), sparklooptest.NewServer(t)
	_, open := from.Click("", "")
	_, done := from.Click("", "")
	_, err := from.Client().Conversions.Confirm(t.Context(), done)
	require.NoError(t, err)

	all := from.Submissions()
	require.Len(t, all, 2)
	assert.Equal(t, sparklooptest.Submission{Tracking: open}, all[0])
	assert.Equal(t, done, all[1].Tracking)
	assert.WithinDuration(t, time.Now(), all[1].ConfirmedAt, time.Minute)
	for _, sub := range all {
		to.AddSubmission(sub)
	}
	assert.Equal(t, all, to.Submissions())
	assert.True(t, to.Confirmed(done))
	confirmation, err := to.Client().Conversions.Confirm(t.Context(), open)
	require.NoError(t, err)
	assert.False(t, confirmation.AlreadyConfirmed)
	confirmation, err = to.Client().Conversions.Confirm(t.Context(), done)
	require.NoError(t, err)
	assert.True(t, confirmation.AlreadyConfirmed)
}

func TestAnAddedSubmissionHasAnAge(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	old := sparkloop.Tracking{Offer: sparklooptest.DefaultOffer, Submission: "old", CapturedAt: time.Now().AddDate(0, 0, -46)}
	s.AddSubmission(sparklooptest.Submission{Tracking: old})
	_, err := s.Client().Conversions.Confirm(t.Context(), old)
	require.ErrorContains(t, err, "expired")
	s.AddSubmission(sparklooptest.Submission{Tracking: sparkloop.Tracking{Offer: sparklooptest.DefaultOffer, Submission: "new"}})
	assert.WithinDuration(t, time.Now(), s.Submissions()[1].Tracking.CapturedAt, time.Minute)
}

func TestASubmissionThatCannotBeAdded(t *testing.T) {
	t.Parallel()
	tb := &fatal{}
	s := sparklooptest.NewServer(tb)
	_, known := s.Click("", "")
	for want, tr := range map[string]sparkloop.Tracking{
		"sparklooptest: AddSubmission: no tracking":                                       {},
		`sparklooptest: AddSubmission: there is no offer "x"`:                             {Offer: "x", Submission: "s"},
		"sparklooptest: AddSubmission: there already is a submission " + known.Submission: known,
	} {
		s.AddSubmission(sparklooptest.Submission{Tracking: tr})
		assert.Contains(t, tb.said, want)
	}
	assert.Len(t, s.Submissions(), 1)
}

func TestOffersAreNoRequest(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	s.Fail(sparklooptest.Reset(), -1)
	added := s.AddOffer(sparkloop.Offer{Name: "Second"})
	offers := s.Offers()
	require.Len(t, offers, 2)
	assert.Equal(t, sparklooptest.DefaultOffer, offers[0].UUID)
	assert.Equal(t, added, offers[1])
	assert.Empty(t, s.Requests())
	offers[0].UUID = "changed"
	assert.Equal(t, sparklooptest.DefaultOffer, s.Offers()[0].UUID)
}

func TestFaultsToCome(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	assert.Empty(t, s.Faults())
	s.Fail(sparklooptest.Status(503, ""), 2)
	s.Fail(sparklooptest.Delay(0), 1)
	s.Fail(sparklooptest.HTMLPage(), -1)
	assert.Equal(t, []string{"status 503, 2 requests", "delay 0s, 1 request", "status 200, every request"}, s.Faults())
	_, err := s.Client(sparkloop.WithRetries(0)).Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.Error(t, err)
	assert.Equal(t, "status 503, 1 request", s.Faults()[0])
	s.Fail(sparklooptest.Fault{}, 0)
	assert.Empty(t, s.Faults())
}
