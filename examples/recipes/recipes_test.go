package recipes

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const day = 24 * time.Hour

func newSite(t *testing.T) (*Site, *sparklooptest.Server) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	for _, schema := range []string{OffersSchema, RefundSchema} {
		_, err = db.Exec(schema)
		require.NoError(t, err)
	}
	api := sparklooptest.NewServer(t)
	s := &Site{DB: db}
	s.Queue = openQueue(t, s, api, outbox.Options{})
	return s, api
}

func openQueue(t *testing.T, s *Site, api *sparklooptest.Server, o outbox.Options) outbox.Queue {
	t.Helper()
	o.RetryMin = 10 * time.Millisecond
	queue, err := sqliteoutbox.OpenDB(t.Context(), s.DB, api.Client(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		queue.Close(ctx)
	})
	return queue
}

func TestSeveralOffers(t *testing.T) {
	t.Parallel()
	s, api := newSite(t)
	other := api.AddOffer(sparkloop.Offer{}).UUID
	_, a1 := api.Click("", "")
	_, b1 := api.Click(other, "")
	none := sparkloop.Tracking{}
	require.NoError(t, s.Keep(t.Context(), "u", []sparkloop.Tracking{a1, b1}))
	_, a2 := api.Click("", "")
	require.NoError(t, s.Keep(t.Context(), "u", []sparkloop.Tracking{a2}))
	got, err := s.For(t.Context(), "u", a1.Offer, none)
	require.NoError(t, err)
	assert.Equal(t, a1.Key(), got.Key(), "the first click waits")
	require.NoError(t, s.Queue.Enqueue(t.Context(), got))

	got, err = s.For(t.Context(), "u", other, none)
	require.NoError(t, err)
	assert.Equal(t, b1.Key(), got.Key(), "the other offer is not disturbed")
	got, err = s.For(t.Context(), "u", a1.Offer, none)
	require.NoError(t, err)
	assert.True(t, got.IsZero(), "used")
	got, err = s.For(t.Context(), "u", a1.Offer, a2)
	require.NoError(t, err)
	assert.Equal(t, a2.Key(), got.Key(), "from the cookie")
	require.NoError(t, s.Keep(t.Context(), "u", []sparkloop.Tracking{a1, a2}))
	got, err = s.For(t.Context(), "u", a1.Offer, none)
	require.NoError(t, err)
	assert.Equal(t, a2.Key(), got.Key(), "the next sign-in replaces the used one")
	got, err = s.For(t.Context(), "another", a1.Offer, none)
	require.NoError(t, err)
	assert.True(t, got.IsZero())

	require.NoError(t, s.DB.Close())
	require.Error(t, s.Keep(t.Context(), "u", []sparkloop.Tracking{a2}))
}

func TestMetadataOfSeveralOffers(t *testing.T) {
	t.Parallel()
	a := sparkloop.Tracking{Offer: strings.Repeat("a", 128), Submission: "s1", CapturedAt: time.Unix(1_700_000_000, 0).UTC()}
	b := sparkloop.Tracking{Offer: "b", Submission: strings.Repeat("s", 128)}
	metadata := Metadata([]sparkloop.Tracking{a, {}, b, {Offer: "../x", Submission: "s"}})
	assert.Len(t, metadata, 2)
	for name, value := range metadata {
		assert.LessOrEqual(t, len(name), 40, "Stripe's limit")
		assert.LessOrEqual(t, len(value), 500, "Stripe's limit")
	}
	metadata["order"], metadata[metadataName+"9"] = "1", "damaged"
	assert.Equal(t, map[string]sparkloop.Tracking{a.Offer: a, "b": b}, FromMetadata(metadata))
}

func TestDeepLink(t *testing.T) {
	t.Parallel()
	s, api := newSite(t)
	h := s.DeepLink(func(*http.Request) string { return "u" })
	open := func(link string) int {
		r := httptest.NewRequest(http.MethodPost, "/opened", strings.NewReader(url.Values{"url": {link}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h(w, r)
		return w.Code
	}
	landing, click := api.Click("", "myapp://welcome?utm_source=letter")
	assert.Equal(t, http.StatusNoContent, open("myapp://welcome"))
	assert.Equal(t, http.StatusNoContent, open(landing))
	got, err := s.For(t.Context(), "u", click.Offer, sparkloop.Tracking{})
	require.NoError(t, err)
	assert.Equal(t, click.Key(), got.Key())
	assert.WithinDuration(t, time.Now(), got.CapturedAt, time.Minute, "so that it expires")
	require.NoError(t, s.DB.Close())
	assert.Equal(t, http.StatusInternalServerError, open(landing))
}

func TestConfirmAt(t *testing.T) {
	t.Parallel()
	click := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for paid, want := range map[time.Duration]time.Duration{0: 14 * day, 20 * day: 34 * day, 30 * day: 44 * day, 31 * day: 44 * day, 44*day + day/2: 44 * day} {
		got := ConfirmAt(sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: click}, click.Add(paid))
		assert.Equal(t, want, got.Sub(click), paid)
	}
	assert.Equal(t, click.Add(14*day), ConfirmAt(sparkloop.Tracking{Offer: "o", Submission: "s"}, click), "no time of the click")
}

func TestRefundWindow(t *testing.T) {
	t.Parallel()
	s, api := newSite(t)
	now := time.Now()
	click := func(age time.Duration) sparkloop.Tracking {
		_, c := api.Click("", "")
		c.CapturedAt = now.Add(-age).UTC().Truncate(time.Second)
		return c
	}
	due, refunded, fresh, late := click(20*day), click(20*day), click(day), click(44*day+day/2)
	require.NoError(t, s.Paid(t.Context(), "due", now.Add(-15*day), due))
	require.NoError(t, s.Paid(t.Context(), "refunded", now.Add(-15*day), refunded))
	require.NoError(t, s.Paid(t.Context(), "fresh", now.Add(-day), due, fresh), "the first click is used")
	require.NoError(t, s.Paid(t.Context(), "late", now, late))
	require.NoError(t, s.Paid(t.Context(), "by himself", now))
	require.NoError(t, s.Paid(t.Context(), "again", now, fresh), "no second order of one click")
	assert.True(t, s.Used(t.Context(), fresh))
	assert.False(t, s.Used(t.Context(), click(day)))
	_, err := s.DB.Exec(`UPDATE orders SET refunded_at = $1 WHERE id = 'refunded'`, now.UTC())
	require.NoError(t, err)

	queue := openQueue(t, s, api, outbox.Options{Source: s.NotRefunded})
	s.Queue = queue
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, api.WaitConfirmed(ctx, due))
	require.NoError(t, api.WaitConfirmed(ctx, late), "before the 45 days are over")
	assert.False(t, api.Confirmed(refunded))
	assert.False(t, api.Confirmed(fresh))
	assert.True(t, s.Used(t.Context(), due))

	// What a sweep has passed is not returned again, and a later one has the rest.
	all, err := s.NotRefunded(t.Context(), now.Add(time.Hour))
	require.NoError(t, err)
	assert.Empty(t, all)
	require.NoError(t, s.DB.Close())
	_, err = s.NotRefunded(t.Context(), now)
	require.Error(t, err)
	require.Error(t, s.Paid(t.Context(), "x", now, fresh))
	assert.False(t, s.Used(t.Context(), fresh))
}

func TestSubdomainsAndCDN(t *testing.T) {
	t.Parallel()
	keep, err := Subdomains()
	require.NoError(t, err)
	h := BehindCDN(keep, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for query, want := range map[string]struct{ cache, domain string }{
		"":                      {"public, max-age=600", ""},
		"?utm_source=letter":    {"", ""},
		"?submission=s&offer=o": {"private, no-store", "example.com"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://www.example.com/"+query, nil))
		assert.Equal(t, want.cache, w.Header().Get("Cache-Control"), query)
		for _, c := range w.Result().Cookies() {
			assert.Equal(t, want.domain, c.Domain)
		}
		assert.Equal(t, want.domain != "", len(w.Result().Cookies()) == 1)
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	keep, err := capture.New(capture.Options{})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "https://example.com/consent", nil)
	r.AddCookie(&http.Cookie{Name: "sparkloop_t", Value: sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: time.Now()}.Encode()})
	w := httptest.NewRecorder()
	keep.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { Withdraw(w, "sparkloop_t", "") })).ServeHTTP(w, r)
	require.Len(t, w.Result().Cookies(), 1)
	assert.Negative(t, w.Result().Cookies()[0].MaxAge)
}
