package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// day is how the tests count.
const day = 24 * time.Hour

const testSecret = "shared with the payment site"

// clock is a real one that can be moved forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// stage is a shop with its SparkLoop, both by one clock.
type stage struct {
	t     *testing.T
	api   *sparklooptest.Server
	clock *clock
	path  string // of the database
	shop  *shop
	http  *httptest.Server
	log   *programtest.Output
}

func newStage(t *testing.T, change ...func(*config)) *stage {
	t.Helper()
	s := &stage{t: t, api: sparklooptest.NewServer(t), clock: &clock{}, path: filepath.Join(t.TempDir(), "shop 100%.db"), log: &programtest.Output{}}
	s.open(change...)
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.shop.handler().ServeHTTP(w, r) }))
	t.Cleanup(s.http.Close)
	return s
}

// open opens the shop on its database. Calling it again is a restart.
func (s *stage) open(change ...func(*config)) {
	s.t.Helper()
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	db, err := openStore(s.t.Context(), s.path, s.api.Client(), outbox.Options{
		RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond, Now: s.clock.now, Logger: logger,
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { closeStore(db) }) //nolint:errcheck // a second time after a restart
	c := config{store: db, paymentSecret: testSecret, logger: logger}
	for _, change := range change {
		change(&c)
	}
	s.shop, err = newShop(c)
	require.NoError(s.t, err)
}

func (s *stage) advance(d time.Duration) {
	s.clock.advance(d)
	s.api.Advance(d)
}

// closeStore breaks off what takes longer than a second.
func closeStore(db *store) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return db.close(ctx)
}

// untracked is the state of an order that has no conversion.
const untracked outbox.State = ""

// order is a row, once its conversion is in a state.
func (s *stage) order(id string, state outbox.State) order {
	s.t.Helper()
	o, err := s.shop.store.order(s.t.Context(), id)
	require.NoError(s.t, err)
	require.EventuallyWithT(s.t, func(c *assert.CollectT) {
		e, _, err := s.shop.store.queue.Lookup(s.t.Context(), o.Tracking)
		require.NoError(c, err)
		require.Equal(c, state, e.State, e.Reason)
	}, 20*time.Second, 5*time.Millisecond)
	return o
}

// confirmed waits until SparkLoop has confirmed a conversion.
func (s *stage) confirmed(t sparkloop.Tracking) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(s.t, s.api.WaitConfirmed(ctx, t))
}

// row is the tracking in a user's row.
func (s *stage) row(email string) (t sparkloop.Tracking) {
	s.t.Helper()
	require.NoError(s.t, s.shop.store.db.QueryRow(`SELECT tracking FROM users WHERE email = ?`, email).Scan(&t))
	return t
}

// visitor is a browser.
type visitor struct {
	t    *testing.T
	home string
	http *http.Client
	jar  *cookiejar.Jar
	at   *url.URL // the address bar
	page string
}

func (s *stage) visitor() *visitor {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &visitor{t: s.t, home: s.http.URL, http: &http.Client{Jar: jar, Transport: s.http.Client().Transport}, jar: jar}
}

func (v *visitor) do(req *http.Request, err error) int {
	v.t.Helper()
	require.NoError(v.t, err)
	resp, err := v.http.Do(req)
	require.NoError(v.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(v.t, err)
	v.at, v.page = resp.Request.URL, string(body)
	return resp.StatusCode
}

func (v *visitor) get(url string) int {
	v.t.Helper()
	if url[0] == '/' {
		url = v.home + url
	}
	return v.do(http.NewRequest(http.MethodGet, url, nil))
}

func (v *visitor) post(path string, form url.Values) int {
	v.t.Helper()
	req, err := http.NewRequest(http.MethodPost, v.home+path, bytes.NewBufferString(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.do(req, err)
}

// click comes through SparkLoop.
func (s *stage) click(v *visitor, offer string) sparkloop.Tracking {
	s.t.Helper()
	redirect, t := s.api.Click(offer, s.http.URL+"/?utm_source=letter")
	require.Equal(s.t, http.StatusOK, v.get(redirect))
	return t
}

func (v *visitor) signUp(email string) {
	v.t.Helper()
	require.Equal(v.t, http.StatusOK, v.post("/signup", url.Values{"email": {email}}))
	require.Equal(v.t, "/checkout", v.at.Path)
}

var orderField = regexp.MustCompile(`name="order" value="(\w+)"`)

// buy sends the form of the checkout page and returns the order's id.
func (v *visitor) buy() string {
	v.t.Helper()
	require.Equal(v.t, http.StatusOK, v.get("/checkout"))
	field := orderField.FindStringSubmatch(v.page)
	require.NotNil(v.t, field, v.page)
	require.Equal(v.t, http.StatusOK, v.post("/checkout", url.Values{"order": {field[1]}}))
	require.Equal(v.t, "/thanks", v.at.Path)
	return field[1]
}

// kept is the submissions in the visitor's cookie, by offer.
func (v *visitor) kept(c *capture.Capture) map[string]string {
	v.t.Helper()
	kept := make(map[string]string)
	home, err := url.Parse(v.home)
	require.NoError(v.t, err)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, cookie := range v.jar.Cookies(home) {
		r.AddCookie(cookie)
	}
	c.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, t := range capture.All(r.Context()) {
			kept[t.Offer] = t.Submission
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	return kept
}
