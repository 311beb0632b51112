package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	require.Equal(t, http.StatusOK, v.get("/status"))
	assert.Contains(t, v.page, "Nothing has happened yet.")
	assert.Contains(t, v.page, `http-equiv="refresh"`)
	v.get("/status?paused")
	assert.NotContains(t, v.page, `http-equiv="refresh"`)

	tracking := s.click(v, "")
	v.signUp(reader)
	s.api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
	id := v.buy()
	require.Eventually(t, func() bool {
		v.get("/status")
		return strings.Contains(v.page, "503 Service Unavailable")
	}, 20*time.Second, 5*time.Millisecond, "why it is pending")
	s.api.Fail(sparklooptest.Fault{}, 0)
	s.order(id, outbox.Confirmed)
	v.get("/status")
	assert.NotContains(t, v.page, "503 Service")

	at := 0
	for _, kind := range []string{"confirmed", "order", "signup", "click"} {
		i := strings.Index(v.page[at:], `class="what `+kind+`"`)
		require.Positive(t, i, "%s is not next", kind)
		at += i
	}
	assert.Contains(t, v.page, tracking.Submission)
	assert.Contains(t, v.page, "r…@example.com")
	table := v.page[strings.Index(v.page, "<table>"):strings.Index(v.page, "</table>")]
	assert.NotContains(t, table, reader)

	data, err := s.shop.store.statusPage(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{1, 1, 1, 1, 0}, []int{data.Clicks, data.Signups, data.Orders, data.Confirmed, data.Pending})
}

func TestMasked(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{reader: "r…@example.com", "é@example.com": "é…@example.com", "": "", "x": "x"} {
		assert.Equal(t, want, masked(email))
	}
}
