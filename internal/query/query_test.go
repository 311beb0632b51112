package query_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/query"
)

// Landing URLs as they arrive, each with one click: offer O, submission S.
var landings = []string{
	"submission=S&offer=O", "utm_source=x&submission=S&a=b&offer=O&c", "&&offer=O&&submission=S&&", "offer=O&submission=S&offer=O", "%6Ffer=y&%6Fffer=%4F&submission=S&offer=O",
	"Submission=S&Offer=O", "SUBMISSION=S&oFFeR=O", "offer=&submission=&submission=S&offer=O", "offer=O&offer=&submission=S&submission=", "offer=a%2Fb&submission=S&offer=O",
	"ref=1?submission=S&offer=O", "?submission=S&offer=O", "??submission=S?offer=O", "submission=S&amp;offer=O", "submission=S&AMP;offer=O", "submission=S&amp;amp;offer=O", "a=1&amp;submission=S&amp;offer=O",
	"submission=S%26offer%3DO", "submission=S%26amp%3Boffer%3DO", "submission%3DS%26offer%3DO", "submission%253DS%2526offer%253DO", "%73ubmission=S&offer=O", "offer=%26submission%3DS&offer=O", "%3Fsubmission%3DS%26offer%3DO", "utm=1&submission%3DS%26offer%3DO",
	"submission=S&offer=%4f&offer=O%20", "offer[]=O&submission[]=S", "%20offer=O&submission%20=S", "\ufeffoffer=O&submission=S", "%EF%BB%BFoffer=O&%E2%80%8Bsubmission=S", "(offer)=O&submission=S",
	"submission=S&offer=%254F", "x=%zz&%zz=1&offer=O&submission=S", "x;offer=a&y=;&offer=O&submission=S", "q=what?offer=X&submission=S&offer=O",
}

// Text around an ID, escaped or not.
var (
	around = []string{"", " ", "\n", "\r\n", "\t", "\u00a0", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "(", ")", "[", "]", "{", "}", "<", ">", `"`, "'", "“", "”", "‘", "’", "«", "»", "`"}
	behind = []string{".", ",", "/", "!", ":", ";", "…", "*", "...", "/.", "#", "#pricing", "#a=b", " #x y", ". ", ")."}
)

func TestRead(t *testing.T) {
	t.Parallel()
	for _, in := range landings {
		assert.Equal(t, query.Landing{Offer: "O", Submission: "S", Named: true}, query.Read(in, nil), in)
	}
	for _, left := range around {
		for _, right := range append(behind, around...) {
			if strings.ContainsAny(left+right, "\n\r\t ") {
				right += "\u200b" // the whole value is no word then
			}
			for _, escape := range []func(string) string{url.QueryEscape, url.PathEscape, func(s string) string { return url.QueryEscape(url.QueryEscape(s)) }} {
				in := "offer=" + escape(left+"O"+right) + "&submission=" + escape(left+"S"+right)
				assert.Equal(t, query.Landing{Offer: "O", Submission: "S", Named: true}, query.Read(in, nil), "%s %q %q", in, left, right)
			}
		}
	}
}

// A problem is reported without the values.
func TestProblems(t *testing.T) {
	t.Parallel()
	const (
		badOffer      = "the offer id has characters other than letters, digits, _ and -"
		badSubmission = "the submission id has characters other than letters, digits, _ and -"
	)
	for in, want := range map[string]query.Landing{
		"": {}, "utm_source=newsletter": {}, "my_submission=1&special_offer=2": {}, "offers=O&submission_id=S&xoffer=1": {}, "submission=S": {Submission: "S"}, "offer=O": {}, "submit=b&B=b": {},
		"offer=&submission=S": {Submission: "S", Named: true}, "offer=&submission=": {Named: true}, "offer&submission": {Named: true}, "offer=O&submission=": {Offer: "O", Named: true},
		"offer=a&submission=S&offer=O": {Submission: "S", Named: true, Problem: "the URL has two different offer ids"}, "OFFER=O&submission=S&SUBMISSION=T": {Offer: "O", Named: true, Problem: "the URL has two different submission ids"},
		"submission%25253DS%252526offer%25253DO": {}, "offer=O%26offer%3DO%2526offer%253DO%252526submission%25253DS": {Offer: "O"}, // escaped once too often
		"offer=O&submission=S&SUBMISSION=T": {Offer: "O", Submission: "S", Named: true}, // the documented form takes precedence
		"offer=O&submission=S&x=1?offer=P":  {Offer: "O", Submission: "S", Named: true}, // the documented form takes precedence
		"offer=admin%2f..&submission=S":     {Submission: "S", Named: true, Problem: badOffer}, `offer=admin\..&submission=S`: {Submission: "S", Named: true, Problem: badOffer},
		"offer=../../admin&submission=S":    {Submission: "S", Named: true, Problem: badOffer},
		"offer=%2e%2e%2fadmin&submission=S": {Submission: "S", Named: true, Problem: badOffer},
		"offer=%252e%252e&submission=S":     {Submission: "S", Named: true, Problem: badOffer}, "offer=O&submission=/S": {Offer: "O", Named: true, Problem: badSubmission},
		"offer=O%00&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=O&submission=S%0d%0aX:1": {Offer: "O", Named: true, Problem: badSubmission},
		"offer=%zz&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=O%&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=o;x&submission=S": {Submission: "S", Named: true, Problem: badOffer},
		"offer=a+b&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=öffer&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=a=b&submission=S": {Submission: "S", Named: true, Problem: badOffer},
		"offer=%20&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=O/pricing&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer={{offer}}&submission=S": {Submission: "S", Named: true, Problem: badOffer}, "offer=O&submission=%5Bsubmission%5D": {Offer: "O", Named: true, Problem: badSubmission}, "offer=offer&submission=S": {Offer: "offer", Submission: "S", Named: true},
		"offer=" + strings.Repeat("x", 129) + "&submission=S": {Submission: "S", Named: true, Problem: "the offer id has 129 characters, at most 128 are allowed"},
		"utm=1%26submission%3DS%26offer%3DO":                  {Named: true, Problem: "the two ids are in the value of another parameter"},
		"x=1;submission=S;offer=O":                            {Named: true, Problem: "the two ids are in the value of another parameter"}, "submission=S|offer=O": {Offer: "O", Named: true, Problem: badSubmission},
		"submission=my_offer=O": {}, "submission=S;my_offer=O": {}, "submission=S;offers=O": {},
		"next=%2Fx%3Fa%3D1%26submission%3DS%26offer%3DO": {}, "next=https://shop.example/%3Fsubmission%3DS%26offer%3DO": {}, "utm=1%26submission%3DS": {},
		"offer=O&submission=S" + strings.Repeat("&a", 10000): {Named: true, Problem: "the query has more than 10000 parameters"},
		"offer=O&submission=S" + strings.Repeat("&a", 9998):  {Offer: "O", Submission: "S", Named: true},
		strings.Repeat("%25", 40) + "=submission":            {},
	} {
		assert.Equal(t, want, query.Read(in, nil), "%.80s", in)
	}
}

func TestReadOfCertainOffers(t *testing.T) {
	t.Parallel()
	only := func(offer string) bool { return offer == "O" }
	for in, want := range map[string]query.Landing{
		"offer=summer&submission=S&offer=O": {Offer: "O", Submission: "S", Named: true}, "offer=O&submission=S": {Offer: "O", Submission: "S", Named: true},
		"offer=summer&submission=S": {Submission: "S", Named: true}, "offer=summer&submission=S?offer=O": {Offer: "O", Submission: "S", Named: true},
		"offer=summer&submission=S&offer=winter": {Submission: "S", Named: true}, "offer=a/b&submission=S&offer=summer": {Submission: "S", Named: true, Problem: "the offer id has characters other than letters, digits, _ and -"},
	} {
		assert.Equal(t, want, query.Read(in, only), in)
	}
}

func TestTestMode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"": false, "&test_mode=true": true, "&TEST_MODE=True": true, "&amp;test_mode=true": true, "&test_mode=true%20": true, "?test_mode=true": true, "&test_mode=true&test_mode=true": true,
		"&test_mode=false": false, "&test_mode": false, "&test_mode=": false, "&test_mode=1": false, "&test_mode=true&test_mode=false": false, "&mode=true": false, "&x=test_mode%3Dtrue": false,
	} {
		assert.Equal(t, query.Landing{Offer: "O", Submission: "S", Named: true, Test: want}, query.Read("offer=O&submission=S"+in, nil), in)
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		assert.Equal(t, anID.MatchString(string([]byte{byte(c)})), query.ValidID(string([]byte{byte(c)})), "%q", c)
	}
	for length, want := range map[int]bool{0: false, 1: true, 128: true, 129: false} {
		assert.Equal(t, want, query.ValidID(strings.Repeat("x", length)), length)
	}
}

func TestWithout(t *testing.T) {
	t.Parallel()
	for _, in := range landings {
		rest := query.Without(in)
		assert.Zero(t, query.Read(rest, nil), "%s leaves %s", in, rest)
	}
	for in, want := range map[string]string{
		"": "", "a=1": "a=1", "&&": "&&", "a=1&submission=S&b=%20+%zz&offer=O&": "a=1&b=%20+%zz&", "ref=1?submission=S&offer=O": "ref=1", "q=a?b?c=1&offer=O": "q=a?b?c=1",
		"q=a?offer=1?c=2&submission": "q=a?c=2", "??submission=S&offer=O": "", "utm=1&submission%3DS%26offer%3DO": "utm=1", "a=1&amp;offer=O": "a=1", "submission=S&offer=O&Offer=X&a=?b": "Offer=X&a=?b", "submission=S&offer=O&Offer=X&Submission=Y&a": "a", "offers=1&my_offer=2": "offers=1&my_offer=2",
		"test_mode=true&offer=O": "test_mode=true", "submission%25253DS%252526offer%25253DO": "submission%25253DS%252526offer%25253DO", "next=%2Fx%3Foffer%3DO": "next=%2Fx%3Foffer%3DO",
	} {
		assert.Equal(t, want, query.Without(in), in)
	}
}

// A query whose "?" was escaped, or written as "&", is part of the path.
func TestAQueryInThePath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct{ query, path, rest string }{
		"/pricing%3Fsubmission=S&offer=O":               {"submission=S&offer=O", "/pricing", ""},
		"/pricing%3Fsubmission%3DS%26offer%3DO":         {"submission=S&offer=O", "/pricing", ""},
		"/%3Futm=a%2520b%26submission%3DS%26offer%3DO":  {"utm=a%20b&submission=S&offer=O", "/", "utm=a%2520b"},
		"/&submission=S&offer=O":                        {"submission=S&offer=O", "/", ""},
		"/a%20b&submission=S&offer=O?x=1&y":             {"submission=S&offer=O", "/a%20b", "x=1&y"},
		"/pricing?submission=S&offer=O":                 {"submission=S&offer=O", "/pricing", ""},
		"/%3Fsubmission=T&offer=P?submission=S&offer=O": {"submission=S&offer=O", "/%3Fsubmission=T&offer=P", ""},
		"/a&b%3Fsubmission=S&offer=O":                   {"b?submission=S&offer=O", "/a", "b"},
		"%3Fsubmission=S&offer=O":                       {"submission=S&offer=O", "", ""},
		"&submission=S&offer=O":                         {"submission=S&offer=O", "", ""},
		"/submission=S&offer=O":                         {"", "/submission=S&offer=O", ""},
		"/a%3Fb":                                        {"", "/a%3Fb", ""},
		"/":                                             {"", "/", ""},
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		rawQuery, may := query.Of(u)
		assert.Equal(t, want.query, rawQuery, in)
		assert.Equal(t, want.query != "", may, in)
		if may {
			assert.Equal(t, query.Landing{Offer: "O", Submission: "S", Named: true}, query.Read(rawQuery, nil), in)
		}
		path, rest := query.Clean(u)
		assert.Equal(t, want.path, path, in)
		assert.Equal(t, want.rest, rest, in)
	}
}

func TestReadOfForeignParametersAllocatesNothing(t *testing.T) {
	for _, in := range []string{"", "utm_source=newsletter&utm_medium=email&ref=home%20page", "bb=BB&submit=Subm&x=ubmission&b", "utm_campaign=Big%20Book%20Bundle"} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { query.Read(in, nil) }), in)
	}
}

var anID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// FuzzRead: every returned ID is valid and in the query. A query in the documented
// form is read as net/url does. Offers that are not allowed are not returned. After
// Without, Read finds no submission.
func FuzzRead(f *testing.F) {
	for _, in := range landings {
		f.Add(in)
	}
	for i, mark := range append(behind, around...) {
		f.Add(fmt.Sprintf("offer=%s&submission=%s", mark+"O", url.QueryEscape("S"+mark)))
		f.Add("test_mode=true" + mark + "&submission=S" + landings[i%len(landings)])
	}
	f.Fuzz(func(t *testing.T, in string) {
		l := query.Read(in, nil)
		whole := in
		for range 4 {
			whole += "\n" + loose(whole[strings.LastIndex(whole, "\n")+1:])
		}
		for _, id := range []string{l.Offer, l.Submission} {
			if id != "" {
				assert.Regexp(t, anID, id)
				assert.Contains(t, whole, id)
			}
		}
		if l.Offer != "" && l.Submission != "" {
			assert.True(t, l.Named)
			assert.Empty(t, l.Problem)
		}
		if l.Problem != "" {
			assert.True(t, l.Offer == "" || l.Submission == "")
		}
		if p := query.Scan(in); !p.Malformed && anID.MatchString(p.Offer) && anID.MatchString(p.Submission) && strings.Count(in, "&")+strings.Count(in, "?") < 9000 {
			assert.Equal(t, p.Offer, l.Offer)
			assert.Equal(t, p.Submission, l.Submission)
		}
		only := query.Read(in, func(offer string) bool { return len(offer)%2 == 0 })
		assert.Zero(t, len(only.Offer)%2)
		if rest := query.Without(in); len(in) < 10000 {
			left := query.Read(rest, nil)
			assert.Empty(t, left.Submission, "%q leaves %q", in, rest)
		}
	})
}

// loose unescapes what can be unescaped.
func loose(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
