package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// bought is an order of a reader, placed while SparkLoop fails that way.
func bought(t *testing.T, s *stage, fault sparklooptest.Fault) (v *visitor, id string, tracking sparkloop.Tracking) {
	t.Helper()
	v = s.visitor()
	tracking = s.click(v, "")
	v.signUp(reader)
	s.api.Fail(fault, -1)
	id = v.buy()
	return v, id, tracking
}

func TestAnOutageDelaysAConfirmation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v, id, tracking := bought(t, s, sparklooptest.Status(http.StatusServiceUnavailable, ""))
	s.order(id, pending)
	assert.Equal(t, tracking.Submission, v.kept(s.shop.capture)[tracking.Offer], "not confirmed, not let go")

	s.shop.deliverDue(t.Context())
	assert.Len(t, s.api.Requests(), 1, "it is not due yet")
	s.advance(firstPause)
	s.shop.deliverDue(t.Context())
	assert.Equal(t, 2, s.order(id, pending).Tries)
	s.advance(firstPause)
	s.shop.deliverDue(t.Context())
	assert.Len(t, s.api.Requests(), 2, "the pauses grow")

	s.api.Fail(sparklooptest.Fault{}, 0)
	s.advance(firstPause)
	s.shop.deliverDue(t.Context())
	s.order(id, confirmed)
	assert.True(t, s.api.Confirmed(tracking))
	assert.True(t, s.row(reader).IsZero())

	v.get("/thanks?order=" + id)
	assert.Empty(t, v.kept(s.shop.capture), "the cookie lets go when the buyer looks again")
}

func TestALostAnswer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, id, tracking := bought(t, s, sparklooptest.LostAnswer())
	assert.True(t, s.api.Confirmed(tracking))
	s.order(id, pending)
	s.api.Fail(sparklooptest.Fault{}, 0)
	s.advance(time.Minute)
	s.shop.deliverDue(t.Context())
	s.order(id, confirmed)
}

func TestARefusalIsSetAside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	lead := s.api.AddOffer(sparkloop.Offer{ConversionType: sparkloop.ConversionLead})
	v := s.visitor()
	s.click(v, lead.UUID)
	v.signUp(reader)
	id := v.buy()
	s.order(id, refused)
	s.advance(day)
	s.shop.deliverDue(t.Context())
	assert.Len(t, s.api.Requests(), 1, "nobody asks again")

	require.Equal(t, http.StatusOK, v.get("/status"))
	assert.Contains(t, v.page, "Offer submission must be an action", "the reason, for a person")
}

func TestARestartGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v, id, tracking := bought(t, s, sparklooptest.Reset())
	require.NoError(t, s.shop.store.close())
	s.api.Fail(sparklooptest.Fault{}, 0)
	s.advance(time.Minute)

	s.open()
	s.order(id, pending)
	s.shop.deliverDue(t.Context())
	s.order(id, confirmed)
	assert.True(t, s.api.Confirmed(tracking))
	v.buy() // still signed in
}

func TestADeathBetweenTheOrderAndItsConfirmation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	tracking := s.click(v, "")
	v.signUp(reader)
	_, err := s.shop.store.placeOrder(t.Context(), "1", reader, sparkloop.Tracking{})
	require.NoError(t, err)

	s.shop.deliverDue(t.Context())
	s.order("1", pending) // its handler may be at it
	s.advance(2 * patience)
	s.shop.deliverDue(t.Context())
	s.order("1", confirmed)
	assert.True(t, s.api.Confirmed(tracking))
}

func TestAShopThatClosesLeavesTheOrderDue(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, id, _ := bought(t, s, sparklooptest.Status(http.StatusBadGateway, ""))
	before := s.order(id, pending)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.shop.deliver(ctx, before)
	s.shop.deliverDue(ctx)
	assert.Equal(t, before, s.order(id, pending))
}

// inBubble is a shop where time passes by itself: no sockets, no moved clocks.
// The order is a reader's who has just paid.
func inBubble(t *testing.T, test func(*sparklooptest.Server, *shop, order)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		db, err := openStore(t.Context(), path)
		require.NoError(t, err)
		defer func() { require.NoError(t, db.close()) }()
		shop, err := newShop(config{client: api.Client(), store: db, logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		_, tracking := api.Click("", "")
		_, err = db.signUp(t.Context(), reader, tracking)
		require.NoError(t, err)
		o, err := db.placeOrder(t.Context(), newID(), reader, sparkloop.Tracking{})
		require.NoError(t, err)
		test(api, shop, o)
	})
}

func TestABuyerWaitsNoLongerThanPatience(t *testing.T) {
	t.Parallel()
	inBubble(t, func(api *sparklooptest.Server, shop *shop, o order) {
		api.Fail(sparklooptest.Delay(time.Minute), -1)
		start := time.Now()
		shop.deliver(context.Background(), o)
		assert.Equal(t, patience, time.Since(start))
		o, err := shop.store.order(context.Background(), o.ID)
		require.NoError(t, err)
		assert.Equal(t, pending, o.State)
		assert.Equal(t, 1, o.Tries)
	})
}

func TestTheLoopOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(api *sparklooptest.Server, shop *shop, o order) {
		api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
		ctx, cancel := context.WithCancel(context.Background())
		var loop sync.WaitGroup
		loop.Go(func() { shop.deliverAll(ctx) })
		time.Sleep(10 * time.Minute)
		assert.False(t, api.Confirmed(o.Tracking))
		api.Fail(sparklooptest.Fault{}, 0)
		wait, cancelWait := context.WithTimeout(ctx, 12*time.Minute)
		defer cancelWait()
		require.NoError(t, api.WaitConfirmed(wait, o.Tracking))
		cancel()
		loop.Wait()
		assert.Less(t, len(api.Requests()), 50, "it does not ask too often")
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := sparklooptest.NewServer(t)
	_, tracking := s.Click("", "")
	s.Fail(sparklooptest.Status(http.StatusTooManyRequests, "", "Retry-After", "120"), 1)
	_, asked := s.Client(sparkloop.WithRetries(0)).Conversions.Confirm(t.Context(), tracking)
	other := errors.New("other")
	assert.Equal(t, firstPause, pause(0, other))
	assert.Equal(t, 4*firstPause, pause(2, other))
	assert.Equal(t, longestPause, pause(99, other))
	assert.Equal(t, 2*time.Minute, pause(0, asked))
	assert.Equal(t, longestPause, pause(99, asked))
}

func TestManyBuyAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var wg sync.WaitGroup
	for i := range 8 {
		v := s.visitor()
		tracking := s.click(v, "")
		wg.Go(func() {
			email := string(rune('a'+i)) + "@example.com"
			session, err := s.shop.store.signUp(t.Context(), email, tracking)
			if !assert.NoError(t, err) {
				return
			}
			for range 5 {
				o, err := s.shop.store.placeOrder(t.Context(), session, email, sparkloop.Tracking{})
				if assert.NoError(t, err) {
					s.shop.deliver(t.Context(), o)
				}
			}
			assert.True(t, s.api.Confirmed(tracking))
		})
	}
	wg.Wait()
}
