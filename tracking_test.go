package sparkloop_test

import (
	"bytes"
	"database/sql/driver"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestParseTracking(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 128)
	tests := []struct {
		name, in string
		want     sparkloop.Tracking
		err      error
	}{
		{"a landing URL", "https://example.com/signup?submission=submission_1234abcd&offer=offer_1234abcd", tracking, nil},
		{"its path and query", "/signup?submission=submission_1234abcd&offer=offer_1234abcd", tracking, nil},
		{"a fragment", "https://example.com/?offer=o&submission=s#top?offer=x", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},
		{"among others", "?utm_source=a%20b&offer=o&x=%zz&submission=s", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},
		{"a plain UUID", "?offer=o&submission=0b6e1a5c-8d0b-4f2e-9d58-0d8f6a2b7c11", sparkloop.Tracking{Offer: "o", Submission: "0b6e1a5c-8d0b-4f2e-9d58-0d8f6a2b7c11"}, nil},
		{"the longest", "?offer=" + long + "&submission=" + long, sparkloop.Tracking{Offer: long, Submission: long}, nil},
		{"twice the same", "?offer=o&submission=s&offer=o", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},

		{"an ampersand as in HTML", "/?submission=s&#38;offer=o#top", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},
		{"an ampersand as in JSON", `/?submission=s\u0026offer=o`, sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},
		{"a question mark as an ampersand", "&submission=s&offer=o", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},
		{"the fragment does not contradict", "/?submission=s&offer=o&#38;offer=p", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},
		{"an escaped query", "https://example.com/signup%3Fsubmission%3Ds%26offer%3Do#top", sparkloop.Tracking{Offer: "o", Submission: "s"}, nil},

		{"nothing", "", sparkloop.Tracking{}, sparkloop.ErrNoTracking},
		{"no query", "https://example.com/offer=o&submission=s", sparkloop.Tracking{}, sparkloop.ErrNoTracking},
		{"no submission", "?offer=o", sparkloop.Tracking{}, sparkloop.ErrNoTracking},
		{"an empty offer", "?offer=&submission=s", sparkloop.Tracking{}, sparkloop.ErrNoTracking},
		{"only in the fragment", "/#?offer=o&submission=s", sparkloop.Tracking{}, sparkloop.ErrNoTracking},

		{"in a path with a bad escape", "/%zz?offer=..%2fadmin&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"a path", "?offer=../../admin&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"an escaped path", "?offer=%2e%2e%2fadmin&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"escaped twice", "?offer=%252e%252e&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"NUL", "?offer=o%00&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"a line break", "?offer=o%0d%0aX:1&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"129 characters", "?offer=" + long + "x&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"two values", "?offer=a&offer=b&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"a bad escape", "?offer=%zz&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"a semicolon", "?offer=o;x&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"a plus", "?offer=o+x&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
		{"letters beyond ASCII", "?offer=öffer&submission=s", sparkloop.Tracking{}, sparkloop.ErrInvalidTracking},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := sparkloop.ParseTracking(tt.in)
			require.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.want, got)
			if err != nil {
				assert.False(t, sparkloop.Retryable(err))
				assert.NotContains(t, err.Error(), "admin", "what a stranger sent is not repeated")
			}
		})
	}
}

func TestTrackingFromRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond)
		r := httptest.NewRequest(http.MethodPost, "/signup?submission=s&offer=o", strings.NewReader("offer=body&submission=body"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got, err := sparkloop.TrackingFromRequest(r)
		require.NoError(t, err)
		assert.Equal(t, sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)}, got)
		body, err := r.Body.Read(make([]byte, 100))
		require.NoError(t, err)
		assert.Equal(t, 26, body, "the body is left alone")

		r = httptest.NewRequest(http.MethodPost, "/signup", strings.NewReader("offer=o&submission=s"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, err = sparkloop.TrackingFromRequest(r)
		require.ErrorIs(t, err, sparkloop.ErrNoTracking)

		for _, nothing := range []*http.Request{nil, {}} {
			_, err = sparkloop.TrackingFromRequest(nothing)
			require.ErrorIs(t, err, sparkloop.ErrNoTracking)
		}
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in   sparkloop.Tracking
		want string
	}{
		"offer missing":      {sparkloop.Tracking{Submission: "s"}, "invalid tracking: the offer id is empty"},
		"submission missing": {sparkloop.Tracking{Offer: "o"}, "invalid tracking: the submission id is empty"},
		"submission bad":     {sparkloop.Tracking{Offer: "o", Submission: "a.b"}, "invalid tracking: the submission id has characters other than letters, digits, _ and -"},
		"too long":           {sparkloop.Tracking{Offer: "o", Submission: strings.Repeat("s", 129)}, "invalid tracking: the submission id has 129 characters, at most 128 are allowed"},
		"before 1970":        {sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: time.Unix(-1, 0)}, "invalid tracking: captured in the year 1969"},
		"after 5138":         {sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: time.Unix(100_000_000_000, 0).UTC()}, "invalid tracking: captured in the year 5138"},
	} {
		err := tt.in.Validate()
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking, name)
		assert.Contains(t, err.Error(), tt.want[:30], name)
		assert.Empty(t, tt.in.Encode(), name)
		assert.Nil(t, tt.in.Metadata(), name)
		assert.False(t, tt.in.IsZero(), name)
	}
	require.NoError(t, tracking.Validate())
	require.NoError(t, sparkloop.Tracking{}.Validate(), "libraries call Validate on an optional field")
	require.NoError(t, sparkloop.Tracking{CapturedAt: noon, Test: true}.Validate())
	assert.Empty(t, sparkloop.Tracking{}.Encode())
	assert.Nil(t, sparkloop.Tracking{}.Metadata())
	assert.True(t, sparkloop.Tracking{CapturedAt: noon}.IsZero())
	assert.Equal(t, "offer_1234abcd/submission_1234abcd", tracking.Key())
}

func TestExpiryAndFirstLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := func(offer string, age time.Duration) sparkloop.Tracking {
			return sparkloop.Tracking{Offer: offer, Submission: "s", CapturedAt: time.Now().Add(-age).UTC()}
		}
		const life = 45 * 24 * time.Hour
		assert.Equal(t, noon.Add(life), sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: noon}.ExpiresAt())
		assert.True(t, tracking.ExpiresAt().IsZero())

		old, live, invalid := at("old", life), at("live", life-time.Second), sparkloop.Tracking{Offer: "..", Submission: "s"}
		assert.Equal(t, live, sparkloop.FirstLive(sparkloop.Tracking{}, invalid, old, live, at("later", 0)))
		assert.Equal(t, tracking, sparkloop.FirstLive(tracking, live), "of unknown age, so not known to be expired")
		assert.Equal(t, at("future", -time.Hour), sparkloop.FirstLive(at("future", -time.Hour)))
		test := at("test", 0)
		test.Test = true
		assert.Equal(t, live, sparkloop.FirstLive(test, live), "a test click hides no real one")
		assert.Equal(t, test, sparkloop.FirstLive(old, test, sparkloop.Tracking{}))
		assert.Zero(t, sparkloop.FirstLive(old, invalid))
		assert.Zero(t, sparkloop.FirstLive())
	})
}

// forms are trackings and their texts.
var forms = map[string]sparkloop.Tracking{
	"v1.o.s.0":          {Offer: "o", Submission: "s"},
	"v1.o.s.1795348800": {Offer: "o", Submission: "s", CapturedAt: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)},
	"v1.-_-.A-z_9.1":    {Offer: "-_-", Submission: "A-z_9", CapturedAt: time.Unix(1, 0).UTC()},
	"v1.o.s.0.test":     {Offer: "o", Submission: "s", Test: true},
	"v1.o.test.7.test":  {Offer: "o", Submission: "test", CapturedAt: time.Unix(7, 0).UTC(), Test: true},
	"v1." + strings.Repeat("o", 128) + "." + strings.Repeat("s", 128) + ".99999999999": {
		Offer: strings.Repeat("o", 128), Submission: strings.Repeat("s", 128), CapturedAt: time.Unix(99_999_999_999, 0).UTC(),
	},
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for text, want := range forms {
		assert.Equal(t, text, want.Encode())
		assert.LessOrEqual(t, len(text), 272+len(".test"))
		got, err := sparkloop.DecodeTracking(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)

		value, err := want.Value()
		require.NoError(t, err)
		assert.Equal(t, driver.Value(text), value)
		for _, src := range []any{text, []byte(text), text + "   "} {
			got = sparkloop.Tracking{Offer: "left over"}
			require.NoError(t, got.Scan(src))
			assert.Equal(t, want, got)
		}

		data, err := json.Marshal(want)
		require.NoError(t, err)
		got = sparkloop.Tracking{}
		require.NoError(t, json.Unmarshal(data, &got))
		assert.Equal(t, want, got)

		data, err = want.MarshalText()
		require.NoError(t, err)
		assert.Equal(t, text, string(data))
		got = sparkloop.Tracking{Offer: "left over"}
		require.NoError(t, got.UnmarshalText(data))
		assert.Equal(t, want, got)

		got, err = sparkloop.TrackingFromMetadata(nil, map[string]string{"sparkloop_tracking": "broken"}, want.Metadata())
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	local := sparkloop.Tracking{Offer: "o", Submission: "s", CapturedAt: noon.Add(999 * time.Millisecond).In(time.FixedZone("", 3600))}
	assert.Equal(t, "v1.o.s.1795348800", local.Encode(), "whole seconds, in UTC")
}

func TestDecodeTrackingRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"v1", "v1.o.s", "v1.o.s.1.x", "v2.o.s.1", "V1.o.s.1", "v1..s.1", "v1.o..1", "v1.o.s.", "v1.o.s.01", "v1.o.s.+1", "v1.o.s.-1",
		"v1.o.s.1e3", "v1.o.s.100000000000", "v1.o.s.99999999999999999999", " v1.o.s.1", "v1.o.s.1 ", "v1.ö.s.1", "v1.o%00.s.1", "v1.o.s.0x1",
		"v1." + strings.Repeat("o", 129) + ".s.1", "o/s", "{}", "v1...0", "v1...1",
		"v1.o.s.1.", "v1.o.s.1.TEST", "v1.o.s.1.test ", "v1.o.s.1.test.test", "v1.o.s.test", "v1...0.test",
	} {
		got, err := sparkloop.DecodeTracking(in)
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking, in)
		assert.Zero(t, got)
		_, err = sparkloop.TrackingFromMetadata(map[string]string{"sparkloop_tracking": in})
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking, in)
		got = tracking
		require.ErrorIs(t, got.UnmarshalText([]byte(in)), sparkloop.ErrInvalidTracking, in)
		assert.Equal(t, tracking, got, "a refused text changes nothing")
	}
	_, err := sparkloop.DecodeTracking("")
	require.ErrorIs(t, err, sparkloop.ErrNoTracking)
	for _, empty := range [][]byte{nil, {}} { // an empty form field
		got := tracking
		require.NoError(t, got.UnmarshalText(empty))
		assert.Zero(t, got)
	}
	_, err = sparkloop.TrackingFromMetadata(nil, map[string]string{"other": "x"})
	require.ErrorIs(t, err, sparkloop.ErrNoTracking)
}

func TestScanKeepsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, stored := range []string{"v2.o.s.1.more", "damaged \x00 text", "v1.o.s", strings.Repeat("x", 5000)} {
		var got sparkloop.Tracking
		require.NoError(t, got.Scan(stored))
		assert.False(t, got.IsZero())
		assert.Empty(t, got.Offer+got.Submission)
		require.ErrorIs(t, got.Validate(), sparkloop.ErrInvalidTracking)
		assert.Empty(t, got.Encode())
		value, err := got.Value()
		require.NoError(t, err)
		assert.Equal(t, driver.Value(stored), value, "it goes back as it came")
		_, err = json.Marshal(got)
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
		_, err = got.MarshalText()
		require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
		assert.Zero(t, sparkloop.FirstLive(got))
	}
	for _, empty := range []any{nil, "", []byte{}, "    "} {
		got := sparkloop.Tracking{Offer: "left over"}
		require.NoError(t, got.Scan(empty))
		assert.Zero(t, got)
	}
	var got sparkloop.Tracking
	require.ErrorContains(t, got.Scan(int64(7)), "int64")

	value, err := sparkloop.Tracking{}.Value()
	require.NoError(t, err)
	assert.Nil(t, value)
	_, err = sparkloop.Tracking{Offer: "../", Submission: "s"}.Value()
	require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
}

func TestTrackingJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(map[string]sparkloop.Tracking{
		"a": {Offer: "o", Submission: "s", CapturedAt: noon}, "b": {Offer: "o", Submission: "s"},
		"c": {Offer: "o", Submission: "s", Test: true}, "d": {Test: true},
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":{"offer":"o","submission":"s","captured_at":"2026-11-22T12:00:00Z"},"b":{"offer":"o","submission":"s"},"c":{"offer":"o","submission":"s","test":true},"d":{"offer":"","submission":""}}`, string(data))

	type order struct {
		Tracking sparkloop.Tracking `json:"tracking,omitzero"`
	}
	data, err = json.Marshal(order{})
	require.NoError(t, err)
	assert.JSONEq(t, `{}`, string(data))

	for in, want := range map[string]sparkloop.Tracking{
		`null`: {}, `{}`: {}, `{"offer":"","submission":""}`: {}, `{"captured_at":"2026-11-22T12:00:00Z"}`: {}, `{"test":true}`: {},
		`{"offer":"o","submission":"s","test":true}`:                                          {Offer: "o", Submission: "s", Test: true},
		`{"offer":"o","submission":"s","captured_at":"2026-11-22T14:00:00.9+02:00","more":1}`: {Offer: "o", Submission: "s", CapturedAt: noon},
	} {
		got := sparkloop.Tracking{Offer: "left over"}
		require.NoError(t, json.Unmarshal([]byte(in), &got), in)
		assert.Equal(t, want, got, in)
	}
	for _, in := range []string{
		`{"offer":"../x","submission":"s"}`, `{"offer":"o"}`, `{"offer":1,"submission":"s"}`, `[]`, `"v1.o.s.0"`,
		`{"offer":"o","submission":"s","captured_at":"1969-12-31T23:59:59Z"}`, `{"offer":"o","submission":"s","captured_at":"soon"}`,
	} {
		var got sparkloop.Tracking
		require.ErrorIs(t, json.Unmarshal([]byte(in), &got), sparkloop.ErrInvalidTracking, in)
		assert.Zero(t, got)
	}
}

// TestTrackingInALog: logs show the Key, and never unreadable text or invalid
// IDs.
func TestTrackingInALog(t *testing.T) {
	t.Parallel()
	var kept sparkloop.Tracking
	require.NoError(t, kept.Scan("stored \n text"))
	hostile := sparkloop.Tracking{Offer: "o\nforged line", Submission: "s"}
	for want, in := range map[string][]sparkloop.Tracking{
		"offer_1234abcd/submission_1234abcd": {tracking}, "": {{}, {Test: true}}, "invalid tracking": {kept, hostile},
	} {
		for _, in := range in {
			assert.Equal(t, want, in.String())
			var text, inJSON strings.Builder
			slog.New(slog.NewTextHandler(&text, nil)).Info("bought", "tracking", in)
			slog.New(slog.NewJSONHandler(&inJSON, nil)).Info("bought", "tracking", &in)
			assert.Contains(t, text.String()+inJSON.String(), want)
			type order struct{ Tracking sparkloop.Tracking }
			line := text.String() + inJSON.String() + fmt.Sprintf("%v %+v %s %q %v %+v", in, in, in, in, order{in}, &order{in})
			assert.NotContains(t, line, "stored")
			assert.NotContains(t, line, "forged")
		}
	}
}

// TestGob: unreadable text survives a session store.
func TestGob(t *testing.T) {
	t.Parallel()
	type session struct {
		User     string
		Tracking sparkloop.Tracking
		Other    *sparkloop.Tracking
	}
	var kept sparkloop.Tracking
	require.NoError(t, kept.Scan("v2.from.a.newer.version"))
	for _, want := range []sparkloop.Tracking{tracking, {}, kept, {Offer: "o", Submission: "s", CapturedAt: noon, Test: true}} {
		var wire bytes.Buffer
		require.NoError(t, gob.NewEncoder(&wire).Encode(session{User: "u", Tracking: want, Other: &want}))
		var got session
		require.NoError(t, gob.NewDecoder(&wire).Decode(&got))
		assert.Equal(t, session{User: "u", Tracking: want, Other: &want}, got)
	}
	require.Error(t, gob.NewEncoder(io.Discard).Encode(sparkloop.Tracking{Offer: "..", Submission: "s"}))
}
