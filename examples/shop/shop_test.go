package main

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

const reader = "reader@example.com"

func TestFromTheClickToTheConfirmation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	tracking := s.click(v, "")
	assert.Equal(t, "/?utm_source=letter", v.at.RequestURI(), "the ids are gone from the address bar")
	assert.Contains(t, v.page, "One good notebook")

	s.advance(3 * day)
	v.signUp(" Reader@Example.com ")
	assert.Equal(t, tracking.Key(), s.row(reader).Key())

	s.advance(20 * day)
	id := v.buy()
	s.confirmed(tracking)
	assert.Equal(t, tracking.Key(), s.order(id, outbox.Confirmed).Tracking.Key())
	assert.Contains(t, v.page, id[:8])
	assert.Empty(t, v.kept(s.shop.capture), "the cookie has let go of it")
	assert.True(t, s.row(reader).IsZero(), "and so has the user's row")
}

func TestAVisitorWhoCameByHimself(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	require.Equal(t, http.StatusOK, v.get("/"))
	v.signUp(reader)
	s.order(v.buy(), untracked)
	assert.Empty(t, s.api.Requests())
}

func TestAnotherBrowserBuys(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	phone, laptop := s.visitor(), s.visitor()
	tracking := s.click(phone, "")
	phone.signUp(reader)
	laptop.signUp(reader)
	s.order(laptop.buy(), outbox.Confirmed)
	s.confirmed(tracking)
}

func TestTheUsersRowWinsOverTheCookie(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other := s.api.AddOffer(sparkloop.Offer{})
	v := s.visitor()
	first := s.click(v, "")
	v.signUp(reader)
	second := s.click(v, other.UUID)

	s.order(v.buy(), outbox.Confirmed)
	s.confirmed(first)
	assert.False(t, s.api.Confirmed(second))
	assert.Equal(t, map[string]string{second.Offer: second.Submission}, v.kept(s.shop.capture), "the other offer's click is not disturbed")

	s.order(v.buy(), outbox.Confirmed)
	s.confirmed(second)
}

func TestASecondClickReplacesAStaleOne(t *testing.T) {
	t.Parallel()
	for _, signIn := range []bool{false, true} {
		s := newStage(t)
		v := s.visitor()
		first := s.click(v, "")
		v.signUp(reader)
		s.advance(44 * day)
		s.click(v, "")
		assert.Equal(t, first.Submission, v.kept(s.shop.capture)[first.Offer], "the first click lives and counts")

		s.advance(2 * day)
		second := s.click(v, "")
		if signIn {
			v.signUp(reader)
			assert.Equal(t, second.Key(), s.row(reader).Key(), "at the next sign-in")
		}
		s.advance(day)
		id := v.buy()
		assert.Equal(t, second.Key(), s.order(id, outbox.Confirmed).Tracking.Key())
		s.confirmed(second)
		assert.False(t, s.api.Confirmed(first))
	}
}

func TestAStaleClickAloneConfirmsNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	s.click(v, "")
	v.signUp(reader)
	s.advance(46 * day)
	s.order(v.buy(), untracked)
	assert.Empty(t, s.api.Requests())
}

func TestTheSameFormTwiceIsOneOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	s.click(v, "")
	v.signUp(reader)
	id := v.buy()
	require.Equal(t, http.StatusOK, v.post("/checkout", url.Values{"order": {id}}))
	assert.Equal(t, "/thanks", v.at.Path)
	s.order(id, outbox.Confirmed)
	assert.Len(t, s.api.Requests(), 1)

	other := s.visitor()
	other.signUp("bob@example.com")
	assert.Equal(t, http.StatusConflict, other.post("/checkout", url.Values{"order": {id}}))
}

func TestAnOldThanksPageLeavesTheNextClickAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	s.click(v, "")
	v.signUp(reader)
	id := v.buy()
	next := s.click(v, "")
	require.Equal(t, http.StatusOK, v.get("/thanks?order="+id))
	assert.Equal(t, next.Submission, v.kept(s.shop.capture)[next.Offer])
}

func TestAPaymentsCallback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	tracking := s.click(v, "")
	v.signUp(reader)

	bank := s.visitor() // no cookies
	form := url.Values{"payment": {"pay/1 ü"}, "email": {reader}, "signature": {hex.EncodeToString(sign(testSecret, "pay/1 ü", reader))}}
	for range 2 {
		require.Equal(t, http.StatusOK, bank.post("/payment", form))
		assert.Equal(t, "/thanks", bank.at.Path)
	}
	s.order("pay/1 ü", outbox.Confirmed)
	s.confirmed(tracking)
	assert.Len(t, s.api.Requests(), 1)

	form.Set("email", "bob@example.com")
	assert.Equal(t, http.StatusForbidden, bank.post("/payment", form), "signed for somebody else")
	form.Set("signature", hex.EncodeToString(sign(testSecret, "pay/1 ü", "bob@example.com")))
	assert.Equal(t, http.StatusConflict, bank.post("/payment", form), "another user's payment")
	form.Set("signature", "no hex")
	assert.Equal(t, http.StatusForbidden, bank.post("/payment", form))

	s.open(func(c *config) { c.paymentSecret = "" })
	assert.Equal(t, http.StatusNotFound, bank.post("/payment", form), "without a secret there is no callback")
}

func TestConsent(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *config) { c.consent = true })
	field := func(page string) url.Values {
		_, after, ok := strings.Cut(page, `name="tracking" value="`)
		require.True(t, ok, page)
		value, _, _ := strings.Cut(after, `"`)
		return url.Values{"tracking": {value}, "answer": {"yes"}}
	}

	late := s.visitor()
	tracking := s.click(late, "")
	assert.Contains(t, late.page, "May we remember how you came here?")
	assert.Empty(t, late.kept(s.shop.capture))
	require.Equal(t, http.StatusOK, late.post("/consent", field(late.page)))
	assert.Equal(t, tracking.Submission, late.kept(s.shop.capture)[tracking.Offer])
	assert.NotContains(t, late.page, "May we remember")
	late.signUp(reader)
	s.order(late.buy(), outbox.Confirmed)

	never := s.visitor()
	s.click(never, "")
	form := field(never.page)
	form.Set("answer", "no")
	require.Equal(t, http.StatusOK, never.post("/consent", form))
	s.click(never, "")
	assert.NotContains(t, never.page, "May we remember")
	assert.Empty(t, never.kept(s.shop.capture))

	// A form that was sent again long after, or made up.
	old := s.visitor()
	s.click(old, "")
	form = field(old.page)
	s.advance(46 * day)
	require.Equal(t, http.StatusOK, old.post("/consent", form))
	require.Equal(t, http.StatusOK, old.post("/consent", url.Values{"tracking": {"v9.x"}, "answer": {"yes"}}))
	assert.Empty(t, old.kept(s.shop.capture))
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	v.get("/checkout")
	assert.Equal(t, "/signup", v.at.Path, "not signed in")
	v.post("/checkout", url.Values{"order": {newID()}})
	assert.Equal(t, "/signup", v.at.Path)
	for _, email := range []string{"", "reader", `<b>"x"</b>`, "Reader <reader@example.com>"} {
		assert.Equal(t, http.StatusUnprocessableEntity, v.post("/signup", url.Values{"email": {email}}))
		assert.Contains(t, v.page, "Enter an email address")
		assert.NotContains(t, v.page, "<b>")
	}
	v.signUp(reader)
	assert.Equal(t, http.StatusBadRequest, v.post("/checkout", url.Values{"order": {"1"}}))
	assert.Equal(t, http.StatusNotFound, v.get("/thanks?order=1"))
	assert.Equal(t, http.StatusNotFound, v.get("/nowhere"))
	assert.Equal(t, http.StatusOK, v.get("/static/style.css"))

	// A form of another site, which a browser says.
	r := httptest.NewRequest(http.MethodPost, "/signup", strings.NewReader("email="+reader))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	s.shop.handler().ServeHTTP(w, r)
	assert.Equal(t, http.StatusForbidden, w.Code)
}

func TestCookiesAreSecureBeyondLoopback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for host, secure := range map[string]bool{"127.0.0.1:8080": false, "localhost:8080": false, "[::1]:8080": false, "shop.example.com": true} {
		r := httptest.NewRequest(http.MethodPost, "/signup", strings.NewReader("email="+reader))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Host = host
		w := httptest.NewRecorder()
		s.shop.handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, secure, w.Result().Cookies()[0].Secure, host)
	}
}

func TestABrokenDatabase(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.visitor()
	v.signUp(reader)
	require.NoError(t, closeStore(s.shop.store))
	tracking := s.click(v, "")
	assert.Equal(t, tracking.Submission, v.kept(s.shop.capture)[tracking.Offer], "the cookie needs no database")
	assert.Equal(t, http.StatusInternalServerError, v.post("/signup", url.Values{"email": {reader}}))
	assert.NotContains(t, v.page, "sql", "the reason is not the visitor's")
	assert.Equal(t, http.StatusInternalServerError, v.get("/status"))
	assert.Equal(t, http.StatusInternalServerError, v.get("/thanks?order=1"))
	assert.Contains(t, s.log.String(), "database is closed")

	_, err := openStore(t.Context(), t.TempDir(), s.api.Client(), outbox.Options{})
	require.ErrorContains(t, err, "open ")
}
