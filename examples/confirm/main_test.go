package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	client := api.Client(sparkloop.WithRetries(0))
	_, tracking := api.Click("", "")
	require.NoError(t, confirm(t.Context(), client, tracking))
	require.NoError(t, confirm(t.Context(), client, tracking), "twice is no error")
	require.True(t, api.Confirmed(tracking))

	unknown := sparkloop.Tracking{Offer: tracking.Offer, Submission: "unknown"}
	require.ErrorContains(t, confirm(t.Context(), client, unknown), "final answer")
	api.Fail(sparklooptest.Status(429, "", "Retry-After", "90"), 1)
	require.ErrorContains(t, confirm(t.Context(), client, tracking), "try again, in 1m30s")
	api.Fail(sparklooptest.Status(401, `{"error":"User not found!"}`), 1)
	require.ErrorContains(t, confirm(t.Context(), client, tracking), "correct the API key")
}
