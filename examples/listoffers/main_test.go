package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestList(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	api.AddOffer(sparkloop.Offer{UUID: "offer_evil", Name: "Win\x1b[2J", ConversionType: "lead"})
	var out strings.Builder
	require.NoError(t, list(t.Context(), api.Client(), &out))
	assert.Equal(t, `offer_evil  lead    $0.00  "Win\x1b[2J"`+"\n"+`offer_1234abcd  action  $2.35  "Free trial"`+"\n", out.String())

	api.Fail(sparklooptest.Status(401, `{"error":"User not found!"}`), -1)
	require.ErrorIs(t, list(t.Context(), api.Client(), &out), sparkloop.ErrUnauthorized)
}
