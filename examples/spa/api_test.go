package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func TestTwoClicksTwoPurchases(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	v := s.visitor()
	answer, first := v.click("")
	assert.Equal(t, first.Key(), answer.Tracking.Key(), "the page keeps it until there is consent")
	v.consents("yes", answer.Tracking)
	v.signUp(" Reader@Example.com ")
	assert.Equal(t, first.Key(), s.row().Key())
	id := v.orders()
	assert.Empty(t, s.fake.Requests(), "nothing before the payment")
	s.paid(id)
	s.confirmed(first)

	// The buyer closes the payment's tab: no thanks page, no Clear. Cookie and
	// row still have the first click.
	assert.Equal(t, first.Key(), s.row().Key())
	answer, second := v.click("")
	assert.Equal(t, "yes", answer.Consent)
	assert.Equal(t, reader, answer.Email)
	assert.True(t, answer.Tracking.IsZero(), "it is in the cookie")
	s.paid(v.orders())
	s.confirmed(second)

	s.paid(v.orders()) // a third purchase has no click behind it
	assert.Len(t, s.fake.Requests(), 2)
}

func TestAnotherDeviceBuys(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	phone, laptop := s.visitor(), s.visitor()
	answer, tracking := phone.click("")
	phone.consents("yes", answer.Tracking)
	phone.signUp(reader)
	laptop.signUp(reader)
	s.paid(laptop.orders())
	s.confirmed(tracking)
}

func TestTwoOrdersAreOpenAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	v := s.visitor()
	answer, first := v.click("")
	v.consents("yes", answer.Tracking)
	v.signUp(reader)
	one, two := v.orders(), v.orders()
	s.paid(two)
	s.confirmed(first)

	_, second := v.click("")
	v.signUp(reader) // signs in again: the row gets the new click
	assert.Equal(t, second.Key(), s.row().Key())
	s.paid(one) // its own click is used by now
	s.confirmed(second)
}

func TestWithoutConsent(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	v := s.visitor()
	answer, tracking := v.click("")
	assert.Empty(t, answer.Consent)
	var again seen
	v.call(http.StatusOK, "/visit", nil, &again)
	assert.True(t, again.Tracking.IsZero(), "nothing was stored")

	v.consents("no", answer.Tracking)
	answer, _ = v.click("")
	assert.Equal(t, "no", answer.Consent)
	assert.True(t, answer.Tracking.IsZero())
	v.signUp(reader)
	s.paid(v.orders())
	assert.True(t, s.row().IsZero())
	assert.Empty(t, s.fake.Requests())
	assert.False(t, s.fake.Confirmed(tracking))
	assert.NotContains(t, s.log.String(), "already enqueued", "a purchase without a click is not one that is known")

	v.call(http.StatusBadRequest, "/consent", anyMap{"answer": "yes", "tracking": anyMap{"offer": "../x", "submission": "s"}}, nil)
	tracking.CapturedAt = tracking.CapturedAt.AddDate(0, 0, -46)
	v.consents("yes", tracking) // the tab was open for long
	v.call(http.StatusOK, "/visit", nil, &again)
	assert.Equal(t, "yes", again.Consent)
	s.paid(v.orders())
	assert.Empty(t, s.fake.Requests())
}

func TestTheWebhook(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	v := s.visitor()
	answer, tracking := v.click("")
	v.consents("yes", answer.Tracking)
	v.signUp(reader)
	id := v.orders()
	body := `{"order":"` + id + `"}`
	assert.Equal(t, http.StatusForbidden, s.webhook(body, "another secret"))
	assert.Equal(t, http.StatusBadRequest, s.webhook(`{`, secret))
	assert.Equal(t, http.StatusNotFound, s.webhook(`{"order":"x"}`, secret))
	assert.Equal(t, http.StatusForbidden, s.webhook(strings.Repeat(" ", maxBody)+body, secret), "too long")

	var shown struct {
		Paid       bool
		Conversion outbox.State
	}
	v.call(http.StatusOK, "/orders/"+id, nil, &shown)
	assert.False(t, shown.Paid)
	assert.Empty(t, shown.Conversion)
	var wg sync.WaitGroup
	for range 4 { // webhooks come more than once
		wg.Go(func() { assert.Equal(t, http.StatusNoContent, s.webhook(body, secret)) })
	}
	wg.Wait()
	s.confirmed(tracking)
	assert.Len(t, s.fake.Requests(), 1)
	v.call(http.StatusOK, "/orders/"+id, nil, &shown)
	assert.True(t, shown.Paid)

	other := s.visitor()
	other.signUp("bob@example.com")
	other.call(http.StatusNotFound, "/orders/"+id, nil, nil)
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	for name, test := range map[string]struct {
		method, origin, site, path string
		status                     int
		allowed                    bool
	}{
		"the page reads":             {http.MethodGet, pageOrigin, "same-site", "/visit", http.StatusOK, true},
		"the page writes":            {http.MethodPost, pageOrigin, "same-site", "/consent", http.StatusOK, true},
		"the page reads an error":    {http.MethodPost, pageOrigin, "same-site", "/orders", http.StatusUnauthorized, true},
		"the page asks before":       {http.MethodOptions, pageOrigin, "same-site", "/consent", http.StatusNoContent, true},
		"another site reads":         {http.MethodGet, "https://evil.example.org", "cross-site", "/visit", http.StatusOK, false},
		"another site writes":        {http.MethodPost, "https://evil.example.org", "cross-site", "/consent", http.StatusForbidden, false},
		"another subdomain writes":   {http.MethodPost, "https://blog.example.test", "same-site", "/consent", http.StatusForbidden, false},
		"another site asks before":   {http.MethodOptions, "https://evil.example.org", "cross-site", "/consent", http.StatusNoContent, false},
		"a page without an origin":   {http.MethodPost, "null", "cross-site", "/consent", http.StatusForbidden, false},
		"a name that begins like it": {http.MethodGet, pageOrigin + ".evil.org", "cross-site", "/visit", http.StatusOK, false},
	} {
		r := httptest.NewRequest(test.method, test.path, strings.NewReader(`{}`))
		r.Header.Set("Origin", test.origin)
		r.Header.Set("Sec-Fetch-Site", test.site)
		if test.method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		}
		w := httptest.NewRecorder()
		s.api.handler().ServeHTTP(w, r)
		assert.Equal(t, test.status, w.Code, name)
		assert.Equal(t, "Origin", w.Header().Get("Vary"), name)
		want := ""
		if test.allowed {
			want = test.origin
		}
		assert.Equal(t, want, w.Header().Get("Access-Control-Allow-Origin"), name)
		assert.Equal(t, test.allowed, w.Header().Get("Access-Control-Allow-Credentials") == "true", name)
	}
}

func TestCookiesOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	for host, secure := range map[string]bool{"127.0.0.1:8081": false, "[::1]:8081": false, "127.0.0.1": false, "api.example.com": true} {
		r := httptest.NewRequest(http.MethodPost, "/consent", strings.NewReader(`{"answer":"yes"}`))
		r.Host = host
		w := httptest.NewRecorder()
		s.api.handler().ServeHTTP(w, r)
		cookie := w.Result().Cookies()[0]
		assert.Equal(t, secure, cookie.Secure, host)
		assert.True(t, cookie.HttpOnly)
		assert.Empty(t, cookie.Domain, "the page's scripts and other subdomains do not get it")
		assert.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	v := s.visitor()
	for _, email := range []string{"", "reader", "Reader <reader@example.com>"} {
		v.call(http.StatusUnprocessableEntity, "/signup", anyMap{"email": email}, nil)
	}
	v.call(http.StatusBadRequest, "/signup", "no object", nil)
	v.call(http.StatusUnauthorized, "/orders", anyMap{}, nil)
	v.call(http.StatusNotFound, "/orders/x", nil, nil)

	_, err := newAPI(config{store: s.api.store, page: "no origin"})
	require.Error(t, err)
}

func TestABrokenDatabase(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	v := s.visitor()
	v.signUp(reader)
	id := v.orders()
	_, err := s.api.store.db.Exec(`ALTER TABLE orders RENAME TO elsewhere`)
	require.NoError(t, err)
	v.call(http.StatusInternalServerError, "/orders", anyMap{}, nil)
	v.call(http.StatusInternalServerError, "/orders/"+id, nil, nil)
	assert.Equal(t, http.StatusInternalServerError, s.webhook(`{"order":"`+id+`"}`, secret), "the payment site sends it again")
	require.NoError(t, s.api.store.db.Close())
	v.call(http.StatusInternalServerError, "/signup", anyMap{"email": reader}, nil)
	v.call(http.StatusUnauthorized, "/orders", anyMap{}, nil)

	_, err = openStore(t.Context(), t.TempDir(), s.fake.Client(), outbox.Options{})
	require.ErrorContains(t, err, "open")
}

// A zero tracking never replaces one that the row has.
func TestSigningInKeepsTheRow(t *testing.T) {
	t.Parallel()
	s := newStage(t, pageOrigin)
	_, tracking := s.fake.Click("", "")
	for _, next := range []sparkloop.Tracking{tracking, {}} {
		_, err := s.api.store.signUp(t.Context(), reader, next)
		require.NoError(t, err)
		assert.Equal(t, tracking.Key(), s.row().Key())
	}
}
