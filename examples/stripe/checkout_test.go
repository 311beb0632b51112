package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// fakeStripe is as much of Stripe's API as the shop uses.
type fakeStripe struct {
	mu    sync.Mutex
	forms []url.Values
	keys  []string
	down  bool
}

func (f *fakeStripe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if f.down || r.Method != http.MethodPost || r.URL.Path != "/v1/checkout/sessions" || r.ParseForm() != nil {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"type":"invalid_request_error","message":"no"}}`) //nolint:errcheck // the client sees
		return
	}
	f.forms, f.keys = append(f.forms, r.PostForm), append(f.keys, r.Header.Get("Authorization"))
	io.WriteString(w, `{"id":"cs_test_1","object":"checkout.session","url":"https://checkout.example/pay"}`) //nolint:errcheck // the client sees
}

func (f *fakeStripe) client(t *testing.T) *stripe.Client {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return stripe.NewClient("test-key", stripe.WithBackends(stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		URL: &server.URL, MaxNetworkRetries: stripe.Int64(0),
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})))
}

// form is what the last session was made with.
func (f *fakeStripe) form(t *testing.T) url.Values {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.NotEmpty(t, f.forms)
	assert.Equal(t, "Bearer test-key", f.keys[len(f.keys)-1])
	return f.forms[len(f.forms)-1]
}

const inForm = "[sparkloop_tracking]"

func TestTheMetadataOfASession(t *testing.T) {
	t.Parallel()
	_, tracking := sparklooptest.NewServer(t).Click("", "")
	tests := map[string]struct {
		trialDays         int64
		mode, with, never string
	}{
		"trial": {14, "subscription", "subscription_data", "payment_intent_data"},
		"book":  {0, "payment", "payment_intent_data", "subscription_data"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeStripe{}
			client := fake.client(t)
			created, err := client.V1CheckoutSessions.Create(t.Context(), sessionParams(tracking, test.trialDays, "https://shop.example"))
			require.NoError(t, err)
			assert.Equal(t, "https://checkout.example/pay", created.URL)
			form := fake.form(t)
			assert.Equal(t, test.mode, form.Get("mode"))
			assert.Equal(t, tracking.Encode(), form.Get("metadata"+inForm))
			assert.Equal(t, tracking.Encode(), form.Get(test.with+"[metadata]"+inForm))
			assert.Equal(t, "https://shop.example/thanks", form.Get("success_url"))
			for field := range form {
				assert.NotContains(t, field, test.never)
			}

			_, err = client.V1CheckoutSessions.Create(t.Context(), sessionParams(sparkloop.Tracking{}, test.trialDays, ""))
			require.NoError(t, err)
			for field := range fake.form(t) {
				assert.NotContains(t, field, "metadata", "without a tracking")
			}
		})
	}
}

// open is a shop with a fake Stripe, and a visitor's browser.
func open(t *testing.T) (s *stage, fake *fakeStripe, base string, browser *http.Client) {
	t.Helper()
	s, fake = newStage(t, onCheckout), &fakeStripe{}
	s.shop.url, s.shop.stripe = "https://shop.example", fake.client(t)
	server := httptest.NewServer(s.site)
	t.Cleanup(server.Close)
	browser = story.NewBrowser()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s, fake, server.URL, browser
}

func TestFromTheClickToTheWebhook(t *testing.T) {
	t.Parallel()
	s, fake, base, browser := open(t)
	get := func(address string) {
		resp, err := browser.Get(address)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, http.StatusOK, resp.StatusCode)
	}
	buy := func() (status int, location string) {
		resp, err := browser.PostForm(base+"/checkout", url.Values{"plan": {"trial"}})
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	const inTrial = "subscription_data[metadata]" + inForm
	landing, tracking := s.api.Click("", base+"/")
	get(landing)
	status, location := buy()
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Equal(t, "https://checkout.example/pay", location)
	sent, err := sparkloop.DecodeTracking(fake.form(t).Get(inTrial))
	require.NoError(t, err)
	assert.Equal(t, tracking.Key(), sent.Key())
	assert.Equal(t, "14", fake.form(t).Get("subscription_data[trial_period_days]"))
	get(base + "/thanks")
	s.enqueued()
	s.done(checkout(completed, "no_payment_required", sent, `"mode":"subscription"`))
	s.enqueued(tracking)

	// The cookie still has that click. It is no second conversion.
	status, _ = buy()
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Empty(t, fake.form(t).Get(inTrial))

	fake.down = true
	status, _ = buy()
	assert.Equal(t, http.StatusBadGateway, status)
	fake.down = false
	s.queue.FailLookup(errAway)
	status, _ = buy()
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Equal(t, sent.Encode(), fake.form(t).Get(inTrial), "the first live one")
}
