package hostile

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/keytest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// echo answers with the received key in place of "KEY".
func echo(status int, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		key := r.Header.Get("X-Api-Key")
		return &http.Response{
			StatusCode: status, Request: r,
			Header: http.Header{"X-Echo": {key}, "Retry-After": {key}, "Location": {"https://" + key + ".example/"}},
			Body:   io.NopCloser(strings.NewReader(strings.ReplaceAll(body, "KEY", key))),
		}, nil
	}
}

// proof is a submission with SparkLoop's own answer, which proves the address.
// Before the proof, no unknown refusal is final.
const proof = "submission_0"

func proving(rt roundTrip) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, proof) {
			return echo(http.StatusOK, `{"message":"Conversion tracked successfully"}`)(r)
		}
		return rt(r)
	}
}

// scene is a queue whose server echoes the key.
type scene struct {
	s        *keytest.Search
	c        *sparkloop.Client
	db       *sql.DB
	q        *sqliteoutbox.Outbox
	tracking sparkloop.Tracking // of one of the queue's conversions
}

// exported are all functions and methods of outbox and sqliteoutbox. Their
// results are searched for the key.
var exported = map[string]func(*testing.T, scene) []any{
	"Open": func(t *testing.T, at scene) []any {
		_, err := sqliteoutbox.Open(t.Context(), "", at.c, outbox.Options{})
		require.Error(t, err)
		q, openErr := sqliteoutbox.Open(t.Context(), filepath.Join(t.TempDir(), "own.db"), at.c, outbox.Options{Workers: -1, Logger: at.s.Logger()})
		require.NoError(t, openErr)
		return []any{err, q.Close(t.Context()), q}
	},
	"OpenDB": func(t *testing.T, at scene) []any {
		_, err := sqliteoutbox.OpenDB(t.Context(), nil, at.c, outbox.Options{})
		_, badErr := sqliteoutbox.OpenDB(t.Context(), at.db, at.c, outbox.Options{RetryMin: -1})
		return []any{err, badErr}
	},
	"Outbox.Client": func(t *testing.T, at scene) []any {
		_, err := at.q.Client().Conversions.Confirm(t.Context(), at.tracking)
		return []any{at.q.Client(), err}
	},
	"Outbox.Close": func(t *testing.T, at scene) []any {
		q, err := sqliteoutbox.OpenDB(t.Context(), at.db, at.c, outbox.Options{Workers: -1, Logger: at.s.Logger()})
		require.NoError(t, err)
		return []any{q.Close(t.Context()), q.Close(t.Context())}
	},
	"Outbox.Enqueue": func(t *testing.T, at scene) []any {
		return []any{at.q.Enqueue(t.Context(), at.tracking), at.q.Enqueue(t.Context(), sparkloop.Tracking{Offer: keytest.Key + "!", Submission: "s"})}
	},
	"Outbox.EnqueueTx": func(t *testing.T, at scene) []any {
		tx, err := at.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { assert.NoError(t, tx.Rollback()) }()
		return []any{at.q.EnqueueTx(t.Context(), tx, at.tracking), at.q.EnqueueTx(t.Context(), tx, sparkloop.Tracking{Offer: keytest.Key + "!", Submission: "s"})}
	},
	"Outbox.Stats": func(t *testing.T, at scene) []any {
		stats, err := at.q.Stats(t.Context())
		return []any{stats, err}
	},
	"Outbox.Delivered": func(_ *testing.T, at scene) []any { return []any{at.q.Delivered()} },
	"Stats.KeyRejected": func(t *testing.T, at scene) []any {
		stats, _ := at.q.Stats(t.Context())
		return []any{stats.KeyRejected()}
	},
	"Stats.Problems": func(t *testing.T, at scene) []any {
		stats, _ := at.q.Stats(t.Context())
		return []any{stats.Problems()}
	},
	"FirstNew": func(t *testing.T, at scene) []any {
		first, err := outbox.FirstNew(t.Context(), at.q, at.tracking)
		return []any{first, err}
	},
	"Enqueued": func(t *testing.T, at scene) []any {
		return []any{outbox.Enqueued(at.q)(t.Context(), at.tracking)}
	},
	"Outbox.Lookup": func(t *testing.T, at scene) []any {
		e, ok, err := at.q.Lookup(t.Context(), at.tracking)
		return []any{e, ok, err}
	},
	"Outbox.List": func(t *testing.T, at scene) (all []any) {
		for _, state := range []outbox.State{outbox.Pending, outbox.Confirmed, outbox.Dead, outbox.Expired, "none"} {
			for e, err := range at.q.List(t.Context(), state) {
				all = append(all, e, err)
			}
		}
		return all
	},
	"Outbox.Redrive": func(t *testing.T, at scene) []any {
		n, err := at.q.Redrive(t.Context(), 1, 2, 99)
		return []any{n, err}
	},
	"Outbox.RedriveAll": func(t *testing.T, at scene) []any {
		n, err := at.q.RedriveAll(t.Context(), outbox.Expired)
		_, badErr := at.q.RedriveAll(t.Context(), outbox.Pending)
		return []any{n, err, badErr}
	},
	"StatusHandler": func(_ *testing.T, at scene) (all []any) {
		for _, target := range []string{"/", "/?format=json", "/?format=" + keytest.Key, "/?key=" + keytest.Key} {
			w := httptest.NewRecorder()
			outbox.StatusHandler(at.q).ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			all = append(all, w.Body.String(), w.Header())
		}
		return all
	},
}

// The outbox stores, shows and logs SparkLoop's answers and passes them to
// hooks. None contains the key.
func TestTheOutboxShowsNoKey(t *testing.T) {
	t.Parallel()
	listing, err := os.ReadFile("../../.ci/api.txt")
	require.NoError(t, err)
	var listed, names []string
	for text := range strings.SplitSeq(string(listing), "\npackage ") {
		if strings.HasPrefix(text, "outbox\n") || strings.HasPrefix(text, "outbox/sqliteoutbox\n") {
			listed = append(listed, text)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^func (?:\(\w+ \*?(\w+)\) )?(\w+)\(`).FindAllStringSubmatch(strings.Join(listed, "\n"), -1) {
		names = append(names, strings.TrimPrefix(m[1]+"."+m[2], "."))
	}
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(exported)), "what the packages export, and what is tried here")

	old := time.Now().Add(-46 * 24 * time.Hour)
	for name, tt := range map[string]struct {
		rt       roundTrip
		captured time.Time
		want     string // the conversions' state afterwards
	}{
		"confirmed":         {echo(200, `{"message":"welcome KEY"}`), time.Time{}, "confirmed"},
		"confirmed already": {echo(422, `{"error":"Offer submission must be unique"}`), time.Time{}, "confirmed"},
		"dead":              {echo(422, `{"error":"KEY is not what it was"}`), time.Time{}, "dead"},
		"expired":           {echo(422, `{"error":"KEY has expired"}`), old, "expired"},
		"wrong key":         {echo(401, `{"error":"User KEY not found"}`), time.Time{}, "paused"},
		"outage":            {echo(503, `{"error":"KEY"}`), time.Time{}, "paused"},
		"a proxy's page":    {echo(200, `<p>KEY</p>`), time.Time{}, "paused"},
		"a redirect":        {echo(302, `KEY`), time.Time{}, "paused"},
		"a broken wire": {func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("malformed answer %q: %w", r.Header.Get("X-Api-Key"), net.ErrClosed)
		}, time.Time{}, "paused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := keytest.New(t)
			folder := t.TempDir()
			db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "shop.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, db.Close()) })
			c, err := sparkloop.New(keytest.Key, sparkloop.WithHTTPClient(&http.Client{Transport: proving(tt.rt)}), sparkloop.WithLogger(s.Logger()), sparkloop.WithRateLimit(0, 0))
			require.NoError(t, err)
			hooked := func(what string) func(outbox.Entry) { return func(e outbox.Entry) { s.Values(what, e) } }
			q, err := sqliteoutbox.OpenDB(t.Context(), db, c, outbox.Options{
				RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond, Logger: s.Logger(),
				OnConfirmed: hooked("OnConfirmed"), OnDead: hooked("OnDead"), OnPaused: func(err error) { s.Values("OnPaused", err) },
			})
			require.NoError(t, err)
			_, err = q.Client().Conversions.Confirm(t.Context(), sparkloop.Tracking{Offer: "offer_1", Submission: proof})
			require.NoError(t, err)
			at := scene{s, c, db, q, sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1", CapturedAt: tt.captured}}
			for _, id := range []string{"submission_1", "submission_2", "submission_3"} {
				require.NoError(t, q.Enqueue(t.Context(), sparkloop.Tracking{Offer: "offer_1", Submission: id, CapturedAt: tt.captured}))
			}
			require.EventuallyWithT(t, func(t *assert.CollectT) {
				stats, err := q.Stats(context.Background())
				require.NoError(t, err)
				got := map[string]bool{"confirmed": stats.Confirmed == 3, "dead": stats.Dead == 3, "expired": stats.Expired == 3, "paused": !stats.PausedSince.IsZero()}
				assert.True(t, got[tt.want], "%+v", stats)
			}, 20*time.Second, 5*time.Millisecond)

			for call, f := range exported {
				s.Values(call, f(t, at)...)
			}
			require.NoError(t, q.Close(t.Context()))
			s.Values("the queue", q)
			files, err := filepath.Glob(filepath.Join(folder, "*"))
			require.NoError(t, err)
			var stored []byte
			for _, file := range files {
				data, err := os.ReadFile(file)
				require.NoError(t, err)
				stored = append(stored, data...)
			}
			s.Text("the file", string(stored))
			assert.True(t, bytes.Contains(stored, []byte("submission_1")), "the file is looked at")
			if tt.want != "paused" && name != "confirmed already" { // documented messages do not contain the key
				assert.True(t, bytes.Contains(stored, []byte("[redacted]")), "with what SparkLoop said")
			}
		})
	}
}
