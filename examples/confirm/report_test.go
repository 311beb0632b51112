package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault sparklooptest.Fault
		final bool
		want  string
	}{
		{sparklooptest.Status(422, `{"error":"Not today"}`), true, "422 Not today"},
		{sparklooptest.Status(404, `{"error":"Offer offer_x not found."}`), true, "offer not found"},
		{sparklooptest.Status(503, ""), false, "503 Service Unavailable"},
		{sparklooptest.Status(403, "<html>"), false, "403 Forbidden"},
		{sparklooptest.Status(401, `{"error":"User not found!"}`), false, "unauthorized"},
		{sparklooptest.Status(404, ""), false, "endpoint not found"},
		{sparklooptest.HTMLPage(), false, "unexpected response"},
		{sparklooptest.Reset(), false, "no answer"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			api.Fail(tt.fault, -1)
			_, tracking := api.Click("", "")
			_, err := api.Client(sparkloop.WithRetries(0)).Conversions.Confirm(t.Context(), tracking)
			require.Error(t, err)
			require.Equal(t, tt.final, !sparkloop.Retryable(err))
			if tt.final {
				assert.Equal(t, tt.want, whyRefused(err))
			} else {
				assert.Equal(t, tt.want, whyLeft(err))
			}
		})
	}
	assert.Equal(t, "no answer in time", whyLeft(fmt.Errorf("x: %w", context.DeadlineExceeded)))
	assert.Equal(t, "stopped before the answer came", whyLeft(fmt.Errorf("x: %w", context.Canceled)))
	assert.Equal(t, "no answer", whyLeft(errors.New("x")))
}

func TestReasonsAreSortedAndNotTooMany(t *testing.T) {
	t.Parallel()
	reasons := map[string]int{"b often": 7, "a often": 7}
	for i := range 20 {
		reasons[fmt.Sprintf("once, %02d", i)] = 1
	}
	var out strings.Builder
	printReasons(&out, reasons)
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	require.Len(t, lines, 11)
	assert.Equal(t, "7  a often", strings.TrimSpace(lines[0]))
	assert.Equal(t, "7  b often", strings.TrimSpace(lines[1]))
	assert.Equal(t, "1  once, 00", strings.TrimSpace(lines[2]))
	assert.Equal(t, "and 12 other reasons", strings.TrimSpace(lines[10]))
}
