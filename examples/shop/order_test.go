package main

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// bought is an order of a reader, placed while SparkLoop fails that way.
func bought(t *testing.T, s *stage, fault sparklooptest.Fault) (v *visitor, id string, tracking sparkloop.Tracking) {
	t.Helper()
	v = s.visitor()
	tracking = s.click(v, "")
	v.signUp(reader)
	s.api.Fail(fault, -1)
	return v, v.buy(), tracking
}

func TestABuyerDoesNotWaitForSparkLoop(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v, id, tracking := bought(t, s, sparklooptest.Delay(time.Hour))
	s.order(id, outbox.Pending)
	assert.False(t, s.api.Confirmed(tracking))
	assert.Empty(t, v.kept(s.shop.capture), "the queue has it: the next click counts")
	assert.True(t, s.row(reader).IsZero())
}

func TestAnOutageDelaysAConfirmation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, id, tracking := bought(t, s, sparklooptest.Status(http.StatusServiceUnavailable, ""))
	require.Eventually(t, func() bool { return len(s.api.Requests()) > 2 }, 20*time.Second, time.Millisecond)
	s.order(id, outbox.Pending)
	s.api.Fail(sparklooptest.Fault{}, 0)
	s.order(id, outbox.Confirmed)
	assert.True(t, s.api.Confirmed(tracking))
}

func TestARefusalIsSetAside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	lead := s.api.AddOffer(sparkloop.Offer{ConversionType: sparkloop.ConversionLead})
	v := s.visitor()
	s.click(v, lead.UUID)
	v.signUp(reader)
	s.order(v.buy(), outbox.Dead)
	require.Equal(t, http.StatusOK, v.get("/status"))
	assert.Contains(t, v.page, "Offer submission must be an action", "the reason, for a person")
	assert.Contains(t, v.page, `class="state dead"`)
}

func TestARestartGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v, id, tracking := bought(t, s, sparklooptest.Reset())
	require.NoError(t, closeStore(s.shop.store))
	s.api.Fail(sparklooptest.Fault{}, 0)
	assert.False(t, s.api.Confirmed(tracking))

	s.open()
	s.order(id, outbox.Confirmed)
	assert.True(t, s.api.Confirmed(tracking))
	v.buy() // still signed in
}

func TestAnOrderAndItsConversionAreOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	tracking := s.click(v, "")
	v.signUp(reader)
	const id = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
	form := url.Values{"order": {id}}
	_, err := s.shop.store.db.Exec(`CREATE TRIGGER full BEFORE INSERT ON sparkloop_conversions BEGIN SELECT RAISE(FAIL, 'full'); END`)
	require.NoError(t, err)
	assert.Equal(t, http.StatusInternalServerError, v.post("/checkout", form))
	_, err = s.shop.store.order(t.Context(), id)
	require.ErrorIs(t, err, errNoOrder)
	assert.Equal(t, tracking.Key(), s.row(reader).Key(), "nothing is taken from the user")

	_, err = s.shop.store.db.Exec(`DROP TRIGGER full`)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, v.post("/checkout", form))
	s.order(id, outbox.Confirmed)
}

func TestManyBuyAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var wg sync.WaitGroup
	var all []sparkloop.Tracking
	for i := range 8 {
		tracking := s.click(s.visitor(), "")
		all = append(all, tracking)
		wg.Go(func() {
			email := string(rune('a'+i)) + "@example.com"
			session, err := s.shop.store.signUp(t.Context(), email, tracking)
			if !assert.NoError(t, err) {
				return
			}
			for range 5 {
				_, err := s.shop.store.placeOrder(t.Context(), session, email, sparkloop.Tracking{})
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	for _, tracking := range all {
		s.confirmed(tracking)
	}
	assert.Len(t, s.api.Requests(), len(all))
}
