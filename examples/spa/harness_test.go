package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/programtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const (
	reader = "reader@example.com"
	secret = "shared with the payment site"
)

// stage is an API with its SparkLoop.
type stage struct {
	t    *testing.T
	fake *sparklooptest.Server
	api  *api
	url  string // of the API; a server reaches it here
	log  *programtest.Output
}

func newStage(t *testing.T, page string) *stage {
	t.Helper()
	fake, log := sparklooptest.NewServer(t), &programtest.Output{}
	db, err := openStore(t.Context(), filepath.Join(t.TempDir(), "spa 100%.db"), fake.Client(),
		outbox.Options{RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		db.close(ctx) //nolint:errcheck // a test may have closed it
	})
	a, err := newAPI(config{store: db, page: page, pay: "https://pay.example.org/", secret: secret, logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	server := httptest.NewServer(a.handler())
	t.Cleanup(server.Close)
	return &stage{t, fake, a, server.URL, log}
}

// confirmed waits until SparkLoop has confirmed a conversion.
func (s *stage) confirmed(t sparkloop.Tracking) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(s.t, s.fake.WaitConfirmed(ctx, t))
}

// row is the tracking in the reader's row.
func (s *stage) row() sparkloop.Tracking {
	s.t.Helper()
	t, err := s.api.store.tracking(s.t.Context(), reader)
	require.NoError(s.t, err)
	return t
}

// visitor is a browser with the page in it.
type visitor struct {
	*stage

	http *http.Client
}

const pageOrigin = "https://app.example.test"

func (s *stage) visitor() visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return visitor{s, &http.Client{Jar: jar}}
}

// call does what call in api.js does.
func (v visitor) call(want int, path string, body, into any) {
	v.t.Helper()
	method, send := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		method = http.MethodPost
		send, err = json.Marshal(body)
		require.NoError(v.t, err)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, bytes.NewReader(send))
	require.NoError(v.t, err)
	req.Header.Set("Origin", pageOrigin)
	req.Header.Set("Sec-Fetch-Site", "same-site")
	resp, err := v.http.Do(req)
	require.NoError(v.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(v.t, err)
	require.Equal(v.t, want, resp.StatusCode, string(text))
	require.Equal(v.t, "private, no-store", resp.Header.Get("Cache-Control"))
	if into != nil {
		require.NoError(v.t, json.Unmarshal(text, into))
	}
}

// seen is the answer of GET /visit.
type seen struct {
	Consent, Email string
	Tracking       sparkloop.Tracking
}

// click comes through SparkLoop: the page loads and reports its query.
func (v visitor) click(offer string) (seen, sparkloop.Tracking) {
	v.t.Helper()
	landing, t := v.fake.Click(offer, pageOrigin+"/?utm_source=letter")
	u, err := url.Parse(landing)
	require.NoError(v.t, err)
	var answer seen
	v.call(http.StatusOK, "/visit?"+u.RawQuery, nil, &answer)
	return answer, t
}

type anyMap = map[string]any

func (v visitor) consents(answer string, t sparkloop.Tracking) {
	v.t.Helper()
	v.call(http.StatusOK, "/consent", anyMap{"answer": answer, "tracking": t}, nil)
}

func (v visitor) signUp(email string) {
	v.t.Helper()
	v.call(http.StatusOK, "/signup", anyMap{"email": email}, nil)
}

// orders places an order, which is not paid.
func (v visitor) orders() (id string) {
	v.t.Helper()
	var answer struct{ ID, Pay string }
	v.call(http.StatusCreated, "/orders", anyMap{}, &answer)
	require.Equal(v.t, "https://pay.example.org/?order="+answer.ID, answer.Pay)
	return answer.ID
}

// webhook is the payment site's server. It returns the status of the answer.
func (s *stage) webhook(body, signedBy string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/payments", bytes.NewReader([]byte(body)))
	require.NoError(s.t, err)
	req.Header.Set("X-Signature", hex.EncodeToString(sign(signedBy, []byte(body))))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	resp.Body.Close()
	return resp.StatusCode
}

func (s *stage) paid(order string) {
	s.t.Helper()
	require.Equal(s.t, http.StatusNoContent, s.webhook(`{"order":"`+order+`"}`, secret))
}
