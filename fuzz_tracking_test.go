package sparkloop_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

var anID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// FuzzParseTracking compares ParseTracking with net/url: they agree wherever
// url.ParseQuery finds two valid IDs. Any other result is a valid ID in the
// URL. TrackingFromRequest returns the same.
func FuzzParseTracking(f *testing.F) {
	for _, s := range []string{
		"https://shop.example/signup?submission=submission_1&offer=offer_1", "/welcome?offer=o&submission=s#?offer=x", "?offer=o&submission=s&offer=p",
		"?%6Ffer=o&submi%73sion=s", "?offer=o;submission=s", "?offer=%zz&submission=s", "?offer=&submission=s", "mailto:x?offer=o&submission=s", "offer=o&submission=s",
		"?offer=" + strings.Repeat("o", 128) + "&submission=" + strings.Repeat("s", 129), "?offer=a+b&submission=s", "??offer=o&submission=s", "?offer=o&submission=s&x=%zz",
		"?ref=1?submission=s&amp;Offer=o", "?offer=&submission=&submission=s%20&offer=o.", "?submission%3Ds%26offer%3Do", "&offer=0&submission=aaa0", "/x%3Fsubmission%3Ds%26offer%3Do",
		"/?submission=s&#38;offer=o", `/?submission=s\u0026offer=o#x`, "?offer=a&offer=b&submission=s&test_mode=true",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := sparkloop.ParseTracking(raw)
		page, _, _ := strings.Cut(raw, "#")
		_, query, _ := strings.Cut(page, "?")
		if u, parseErr := url.Parse(raw); parseErr == nil {
			assert.Equal(t, u.RawQuery, query)
			landed, landedErr := sparkloop.TrackingFromRequest(&http.Request{URL: u})
			// A request has no fragment, and its path has no host.
			if landedErr == nil || page == raw && u.Host == "" && u.Opaque == "" {
				assert.Equal(t, err == nil, landedErr == nil)
				assert.Equal(t, got.Key(), landed.Key())
			}
		}
		values, malformed := url.ParseQuery(query)
		one := func(key string) (value string, contradicted bool) {
			all := values[key]
			return values.Get(key), slices.ContainsFunc(all, func(v string) bool { return v != all[0] })
		}
		offer, offerTwice := one("offer")
		submission, submissionTwice := one("submission")
		strict := malformed == nil && !offerTwice && !submissionTwice && anID.MatchString(offer) && anID.MatchString(submission)
		if err == nil {
			if strict {
				assert.Equal(t, offer+"/"+submission, got.Key())
			}
			whole := raw
			for range 3 {
				whole += "\n" + unescapedLoosely(whole[strings.LastIndex(whole, "\n")+1:])
			}
			for _, id := range []string{got.Offer, got.Submission} {
				assert.Regexp(t, anID, id)
				assert.Contains(t, whole, id)
			}
			return
		}
		assert.Zero(t, got)
		assert.False(t, sparkloop.Retryable(err))
		assert.False(t, strict, "refused without a reason")
		assert.True(t, errors.Is(err, sparkloop.ErrNoTracking) || errors.Is(err, sparkloop.ErrInvalidTracking))
	})
}

// FuzzDecodeTracking: an accepted text is valid and equals the text of Encode,
// also in metadata. Only an empty text is no tracking.
func FuzzDecodeTracking(f *testing.F) {
	for text := range forms {
		f.Add(text)
	}
	f.Add("v1.o.s.00")
	f.Add("v1...0")
	f.Add("v2.o.s.1")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := sparkloop.DecodeTracking(in)
		if err == nil && (got.Validate() != nil || got.Encode() != in) {
			t.Errorf("%q is taken for %+v, which encodes as %q", in, got, got.Encode())
		}
		if err != nil && errors.Is(err, sparkloop.ErrNoTracking) != (in == "") {
			t.Errorf("%q: %v", in, err)
		}
		meta, metaErr := sparkloop.TrackingFromMetadata(map[string]string{"sparkloop_tracking": in})
		if meta != got || (metaErr == nil) != (err == nil) {
			t.Errorf("%q is %+v in metadata, else %+v", in, meta, got)
		}
		if back, backErr := sparkloop.TrackingFromMetadata(got.Metadata()); err == nil && (backErr != nil || back != got) {
			t.Errorf("%+v comes back from metadata as %+v (%v)", got, back, backErr)
		}
	})
}

// FuzzTrackingJSON: an accepted value is zero or valid, and survives a round
// trip.
func FuzzTrackingJSON(f *testing.F) {
	f.Add([]byte(`{"offer":"o","submission":"s","captured_at":"2026-11-22T12:00:00Z"}`))
	f.Add([]byte(`{"offer":"o","submission":"s","captured_at":"0000-01-01T00:00:00Z"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var got, again sparkloop.Tracking
		if json.Unmarshal(in, &got) != nil {
			return
		}
		if !got.IsZero() && got.Validate() != nil {
			t.Fatalf("%q is taken for %+v", in, got)
		}
		data, err := json.Marshal(got)
		if err != nil || json.Unmarshal(data, &again) != nil || again != got {
			t.Errorf("%+v comes back as %+v from %s (%v)", got, again, data, err)
		}
	})
}

// FuzzColumn: any text column is read, as a string or as bytes that the driver
// reuses. The text written back is the same, except for the padding of a CHAR
// column. It is valid exactly if DecodeTracking can read it.
func FuzzColumn(f *testing.F) {
	for text := range forms {
		f.Add(text)
	}
	for _, s := range []string{"", "  ", "v1.o.s.1   ", " v1.o.s.1", "v2.o.s.1", "v1.o.s.-1", "v1.o.s.1\x00", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var text sparkloop.Tracking
		bytes, again := forms["v1.o.s.0"], sparkloop.Tracking{}
		require.NoError(t, text.Scan(in))
		reused := []byte(in)
		require.NoError(t, bytes.Scan(reused))
		clear(reused)
		assert.Equal(t, text, bytes)

		value, err := text.Value()
		require.NoError(t, err)
		require.NoError(t, again.Scan(value))
		assert.Equal(t, text, again)
		back, _ := value.(string)
		assert.Equal(t, strings.TrimRight(in, " "), strings.TrimRight(back, " "))
		if back != in {
			assert.True(t, text.IsZero() || text.Validate() == nil, "what cannot be read stays as it is")
		}
		decoded, err := sparkloop.DecodeTracking(strings.TrimRight(in, " "))
		assert.Equal(t, err == nil || text.IsZero(), text.Validate() == nil)
		if err == nil {
			assert.Equal(t, decoded, text)
		}
		assert.Equal(t, strings.TrimRight(in, " ") == "", text.IsZero())
	})
}

// FuzzMetadata: the first valid entry of several maps counts. Without one, an
// invalid entry and a missing one return different errors.
func FuzzMetadata(f *testing.F) {
	f.Add("sparkloop_tracking", "", "v1.o.s.1", "v1.p.s.1")
	f.Add("sparkloop_tracking", "v2.o.s.1", "", "")
	f.Add("sparkloop_tracking", "v1...0", "v1...1", "v1.o..1")
	f.Add("Sparkloop_Tracking", "v1.o.s.1", "v1.o.s.00", "v1.p.s.1")
	f.Fuzz(func(t *testing.T, key string, values0, values1, values2 string) {
		values := []string{values0, values1, values2}
		maps := []map[string]string{nil}
		var want sparkloop.Tracking
		bad := false
		for _, v := range values {
			maps = append(maps, map[string]string{key: v, "order": "7"})
			if key != "sparkloop_tracking" || v == "" || !want.IsZero() {
				continue
			}
			var err error
			want, err = sparkloop.DecodeTracking(v)
			bad = bad || err != nil
		}
		got, err := sparkloop.TrackingFromMetadata(maps...)
		assert.Equal(t, want, got)
		switch {
		case !want.IsZero():
			require.NoError(t, err)
			assert.Equal(t, map[string]string{"sparkloop_tracking": got.Encode()}, got.Metadata())
		case bad:
			require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
		default:
			require.ErrorIs(t, err, sparkloop.ErrNoTracking)
		}
	})
}

// unescapedLoosely decodes each valid escape.
func unescapedLoosely(s string) string {
	return anEscape.ReplaceAllStringFunc(s, func(escape string) string {
		text, _ := url.PathUnescape(escape)
		return text
	})
}

var anEscape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
