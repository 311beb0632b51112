package query_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/query"
)

func TestScan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     query.Params
	}{
		{"both", "submission=submission_1&offer=offer_1", query.Params{Offer: "offer_1", Submission: "submission_1"}},
		{"among others", "utm_source=x&submission=s&a=b&offer=o&c", query.Params{Offer: "o", Submission: "s"}},
		{"neither", "utm_source=newsletter&utm_medium=email", query.Params{}},
		{"empty query", "", query.Params{}},
		{"empty pairs", "&&offer=o&&submission=s&&", query.Params{Offer: "o", Submission: "s"}},
		{"no value", "offer&submission=", query.Params{}},
		{"one only", "offer=summer", query.Params{Offer: "summer"}},
		{"escaped key and value", "%6Ffer=x&%6Fffer=o%5F1&submission=s%5f1", query.Params{Offer: "o_1", Submission: "s_1"}},
		{"every byte of a key escaped", "%73%75%62%6d%69%73%73%69%6f%6e=s", query.Params{Submission: "s"}},
		{"plus is a space", "offer=a+b&submission=s", query.Params{Offer: "a b", Submission: "s"}},
		{"case matters", "Offer=o&SUBMISSION=s", query.Params{}},
		{"longer keys", "offers=o&submission_id=s&xoffer=1", query.Params{}},
		{"the same twice", "offer=o&submission=s&offer=o", query.Params{Offer: "o", Submission: "s"}},
		{"two different", "offer=o&submission=s&offer=p", query.Params{Offer: "o", Submission: "s", Malformed: true}},
		{"empty, then another", "offer=&offer=p&submission=s", query.Params{Submission: "s", Malformed: true}},
		{"bad escape", "offer=%zz&submission=s", query.Params{Submission: "s", Malformed: true}},
		{"bad escape in a foreign pair", "x=%zz&%zz=1&offer=o&submission=s", query.Params{Offer: "o", Submission: "s"}},
		{"semicolon in a value", "offer=a;b&submission=s", query.Params{Submission: "s", Malformed: true}},
		{"semicolon in a foreign pair", "x;offer=a&y=;&offer=o&submission=s", query.Params{Offer: "o", Submission: "s"}},
		{"equals in a value", "offer=a=b&submission=s", query.Params{Offer: "a=b", Submission: "s"}},
		{"NUL", "offer=%00&submission=s", query.Params{Offer: "\x00", Submission: "s"}},
		{"more pairs than net/url takes", "offer=o&submission=s" + strings.Repeat("&a", 10000), query.Params{Malformed: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, query.Scan(tt.in))
		})
	}
}

// FuzzScan compares Scan with net/url. If the query is well-formed and neither
// key has two different values, the values are equal. Scan reports as malformed
// what net/url drops under the two keys.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"submission=s&offer=o", "offer=a&offer=b", "offer=%zz", "%6fffer=x", "offer=a;b", "a;b=c&offer=o",
		"offer=+&submission=%20", "=&=offer&offer==", "offer%3Do", "subm%69ssion=1&submission=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := query.Scan(in)
		values, _ := url.ParseQuery(in)
		for key, value := range map[string]string{query.OfferKey: got.Offer, query.SubmissionKey: got.Submission} {
			want, malformed := values.Get(key), false
			for _, v := range values[key] {
				malformed = malformed || v != want
			}
			if malformed && !got.Malformed {
				t.Errorf("%q: %s has the values %q and passes", in, key, values[key])
			}
			if value != want && !got.Malformed {
				t.Errorf("%q: %s is %q, net/url says %q", in, key, value, want)
			}
		}
		if got.Malformed && !suspicious(in, values) {
			t.Errorf("%q: refused without a reason", in)
		}
	})
}

// suspicious reports whether net/url drops a pair of the keys, or a key has two
// values.
func suspicious(in string, values url.Values) bool {
	for _, key := range []string{query.OfferKey, query.SubmissionKey} {
		count := 0
		for pair := range strings.SplitSeq(in, "&") {
			raw, _, _ := strings.Cut(pair, "=")
			if k, err := url.QueryUnescape(raw); err == nil && k == key {
				count++
			}
		}
		if count != len(values[key]) {
			return true
		}
		for _, v := range values[key] {
			if v != values[key][0] {
				return true
			}
		}
	}
	return false
}
