package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
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
		purchase          purchase
		mode, with, never string
	}{
		"trial": {purchase{"user_1", "buyer@example.com", tracking, 14}, "subscription", "subscription_data", "payment_intent_data"},
		"book":  {purchase{"user_1", "buyer@example.com", tracking, 0}, "payment", "payment_intent_data", "subscription_data"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeStripe{}
			created, err := fake.client(t).V1CheckoutSessions.Create(t.Context(), sessionParams(test.purchase, "https://shop.example"))
			require.NoError(t, err)
			assert.Equal(t, "https://checkout.example/pay", created.URL)
			form := fake.form(t)
			assert.Equal(t, test.mode, form.Get("mode"))
			assert.Equal(t, tracking.Encode(), form.Get("metadata"+inForm))
			assert.Equal(t, tracking.Encode(), form.Get(test.with+"[metadata]"+inForm))
			assert.Equal(t, "user_1", form.Get("client_reference_id"))
			assert.Equal(t, "https://shop.example/thanks?session_id={CHECKOUT_SESSION_ID}", form.Get("success_url"))
			for field := range form {
				assert.NotContains(t, field, test.never)
			}
		})
	}
}

func TestASessionWithoutTracking(t *testing.T) {
	t.Parallel()
	for _, days := range []int64{0, 14} {
		fake := &fakeStripe{}
		_, err := fake.client(t).V1CheckoutSessions.Create(t.Context(), sessionParams(purchase{user: "a@b.example", trialDays: days}, ""))
		require.NoError(t, err)
		for field := range fake.form(t) {
			assert.NotContains(t, field, "metadata")
			assert.NotEqual(t, "client_reference_id", field, "it would be dropped")
		}
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"1", "user_1", "7b0c-AZ_09", strings.Repeat("x", 200)} {
		got := reference(user)
		if assert.NotNil(t, got, user) {
			assert.Equal(t, user, *got)
		}
	}
	for _, user := range []string{"", "User/1", "a@b.example", "ü", "a b", strings.Repeat("x", 201)} {
		assert.Nil(t, reference(user), user)
	}
}

// shop is the whole shop, with its browser.
func shop(t *testing.T) (s *site, q *queue, api *sparklooptest.Server, fake *fakeStripe, base string, browser *http.Client) {
	t.Helper()
	q, api, fake = &queue{times: map[string]int{}}, sparklooptest.NewServer(t), &fakeStripe{}
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	log, rows := slog.New(slog.DiscardHandler), newMemory()
	hook, err := newEndpoint(testSecret, onCheckout, q, rows, log)
	require.NoError(t, err)
	s = &site{base: "https://shop.example", keep: keep, stripe: fake.client(t), rows: rows, queue: q, webhook: hook, log: log}
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return s, q, api, fake, server.URL, &http.Client{
		Jar: jar, Transport: server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func TestFromTheClickToTheWebhook(t *testing.T) {
	t.Parallel()
	s, q, api, fake, base, browser := shop(t)
	get := func(address string) *http.Response {
		resp, err := browser.Get(address)
		require.NoError(t, err)
		resp.Body.Close()
		return resp
	}
	landing, tracking := api.Click("", base+"/")
	assert.Equal(t, http.StatusOK, get(landing).StatusCode)

	resp, err := browser.PostForm(base+"/checkout", url.Values{"email": {"buyer@example.com"}, "plan": {"trial"}})
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusSeeOther, resp.StatusCode)
	assert.Equal(t, "https://checkout.example/pay", resp.Header.Get("Location"))
	form := fake.form(t)
	sent, err := sparkloop.DecodeTracking(form.Get("subscription_data[metadata]" + inForm))
	require.NoError(t, err)
	assert.Equal(t, tracking.Key(), sent.Key())
	assert.Equal(t, "14", form.Get("subscription_data[trial_period_days]"))

	// The buyer is back before the webhook is there: nothing is known yet.
	assert.Empty(t, get(base+"/thanks?session_id=cs_test_1").Cookies())

	payload := checkout(completed, "no_payment_required", sent, `"client_reference_id":"`+form.Get("client_reference_id")+`"`, `"mode":"subscription"`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/webhook", strings.NewReader(payload))
	require.NoError(t, err)
	req.Header.Set("Stripe-Signature", signature(payload))
	resp, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Empty(t, resp.Header["Set-Cookie"])
	assert.True(t, q.has(tracking))
	assert.Empty(t, s.rows.users, "the row is free for the next click")

	cookies := get(base + "/thanks?session_id=cs_test_1").Cookies()
	require.Len(t, cookies, 1)
	assert.NotContains(t, cookies[0].Value, tracking.Submission)
	assert.Empty(t, get(base+"/thanks?session_id=cs_unknown").Cookies())

	// The old page, opened again after the next click, lets go of nothing.
	next, _ := api.Click("", base+"/")
	require.Len(t, get(next).Cookies(), 1)
	assert.Empty(t, get(base+"/thanks?session_id=cs_test_1").Cookies())
}

func TestCheckoutIsNotToBeReached(t *testing.T) {
	t.Parallel()
	s, _, api, fake, base, browser := shop(t)
	landing, tracking := api.Click("", base+"/")
	resp, err := browser.Get(landing)
	require.NoError(t, err)
	resp.Body.Close()
	fake.down = true
	for email, status := range map[string]int{"nobody": http.StatusBadRequest, "buyer@example.com": http.StatusBadGateway} {
		resp, err = browser.PostForm(base+"/checkout", url.Values{"email": {email}, "plan": {"book"}})
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, status, resp.StatusCode)
	}
	kept, err := s.rows.userTracking(context.Background(), buyer{email: "BUYER@example.com"})
	require.NoError(t, err)
	assert.Equal(t, tracking.Key(), kept.Key(), "it is kept with the user")
}

// The row still has the click of an earlier purchase.
func TestASpentRowGivesWayToTheCookie(t *testing.T) {
	t.Parallel()
	s, q, api, fake, base, browser := shop(t)
	_, spent := api.Click("", "")
	s.rows.signUp("buyer@example.com", spent)
	require.NoError(t, q.Enqueue(t.Context(), spent))
	landing, next := api.Click("", base+"/")
	resp, err := browser.Get(landing)
	require.NoError(t, err)
	resp.Body.Close()
	resp, err = browser.PostForm(base+"/checkout", url.Values{"email": {"buyer@example.com"}, "plan": {"book"}})
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusSeeOther, resp.StatusCode)
	sent, err := sparkloop.DecodeTracking(fake.form(t).Get("metadata" + inForm))
	require.NoError(t, err)
	assert.Equal(t, next.Key(), sent.Key())
	kept, err := s.rows.userTracking(t.Context(), buyer{email: "buyer@example.com"})
	require.NoError(t, err)
	assert.Equal(t, next.Key(), kept.Key())
}
