package sparkloop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// spoken is an answer, read independently of the SDK.
type spoken struct {
	status int // 0 if it is no valid answer
	body   []byte
	cut    bool     // the body ends early
	object bool     // the body is a JSON object
	errors []string // values of its members "error" and "errors"
	denied bool     // another member marks the answer as a failure
	unsure bool     // the message may be a refusal
	known  bool     // contains "must be unique"
}

var (
	nothing      = regexp.MustCompile(`^(null|false|""|\[\s*\]|\{\s*\})$`)
	badStatus    = regexp.MustCompile(`^(false|errors?|fail|failed|failure|[4-9]\d\d.*|0*[1-9]\d{3}.*|0\d{3,}.*)$`)
	refusal      = regexp.MustCompile(`(?i)(must be unique|must be an action|not found)[".!\s\]}]*$`)
	mustBeUnique = regexp.MustCompile(`(?i)must|\\u00`)
)

func listenTo(answer []byte) spoken {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return spoken{}
	}
	defer resp.Body.Close()
	s := spoken{status: resp.StatusCode}
	s.body, err = io.ReadAll(resp.Body)
	s.cut = err != nil
	if !json.Valid(s.body) {
		return s
	}
	d := json.NewDecoder(bytes.NewReader(s.body))
	first, _ := d.Token()
	s.object = first == json.Delim('{')
	for s.object && d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		words := string(value)
		var text string
		if json.Unmarshal(value, &text) == nil && words != "null" {
			words = text
		}
		plain := strings.ToLower(strings.TrimSpace(words))
		is := func(names ...string) bool {
			n, _ := name.(string)
			return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(n, s) })
		}
		switch {
		case is("error", "errors"):
			if nothing.MatchString(string(value)) {
				words = ""
			}
			if words != "" {
				s.errors = append(s.errors, words)
			}
		case is("success", "ok"):
			s.denied = s.denied || plain == "false" || plain == "0" || plain == "no"
		case is("status"):
			s.denied = s.denied || badStatus.MatchString(plain)
		case is("message"):
			s.unsure = s.unsure || refusal.MatchString(strings.Join(strings.Fields(words), " "))
		}
	}
	s.known = mustBeUnique.Match(s.body)
	return s
}

// fitForALog reports whether a text is short and in one line.
func fitForALog(s string, longest int) bool {
	return len(s) <= longest && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// FuzzReply answers a confirmation and the two calls that read offers with any
// status, headers and body. "KEY" is replaced by the caller's key. Only an
// explicit success confirms. An error has the right meaning and never the key.
// The memory is in proportion to the answer.
func FuzzReply(f *testing.F) {
	for _, status := range []uint16{200, 201, 204, 101, 302, 400, 401, 403, 404, 405, 422, 429, 500, 503, 0, 999} {
		f.Add(status, "Content-Type: application/json\r\nRetry-After: 7\r\nX-Echo: KEY\r\nLocation: https://KEY.example/\r\n", []byte(`{"message":"ok KEY","error":"KEY"}`), true)
	}
	for _, body := range []string{
		`{"message":"Conversion tracked successfully"}`, `{"message":"ok","error":""}`, `{"error":"no","error":null}`, `{"ERROR":["no"]}`, `{"error":false,"message":7}`, `{"errors":{"base":["no"]}}`, `{"ok":false}`, `{"success":"0"}`, `{"status":404}`, `{"status":"fail"}`, `{"message":"Submission not found"}`, `{"errors":[{"detail":"no"}]}`, ` {} `, `[]`, ``,
		`{"offers":[{"uuid":"o"}],"meta":{"page":1}}`, `{"offer":{"uuid":"o"}}`, `{"error":"a\u0000b\nc\u202e"}`,
	} {
		f.Add(uint16(200), "", []byte(body), false)
	}
	for _, message := range []string{"Offer submission must be unique", "offer submission x MUST  BE unique.", "Offer submission must be an action", "Submission not found", "Offer o not found.", "Not Found"} {
		f.Add(uint16(422), "", []byte(`{"error":"`+message+`"}`), false)
		f.Add(uint16(404), "Transfer-Encoding: chunked\r\n", []byte("10\r\n"+`{"error":"`+message+`"}`), true)
	}
	f.Fuzz(func(t *testing.T, status uint16, header string, body []byte, proven bool) {
		wire := fmt.Appendf(nil, "HTTP/1.1 %03d Said\r\n%s\r\n\r\n%s", status%1000, header, body)
		wire = bytes.ReplaceAll(wire, []byte("KEY"), []byte(marked))
		want := listenTo(wire)

		proving := proven
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			if proving && r.Method == http.MethodPost {
				proving = false
				return jsonResponder(200, `{}`)(r)
			}
			return http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), r)
		})
		c, err := sparkloop.New(marked, sparkloop.WithHTTPClient(&http.Client{Transport: rt}),
			sparkloop.WithBaseURL("https://api.example"), sparkloop.WithRetries(0), sparkloop.WithRateLimit(0, 0))
		require.NoError(t, err)
		if proven {
			_, err := c.Conversions.Confirm(t.Context(), tracking)
			require.NoError(t, err)
		}
		var confirmation *sparkloop.Confirmation
		memory := allocated(func() { confirmation, err = c.Conversions.Confirm(t.Context(), tracking) })
		assert.LessOrEqual(t, memory, uint64(1<<20+32*len(wire)), "%d bytes", len(wire))

		_, listErr := c.Offers.List(t.Context(), sparkloop.ListOffersParams{})
		_, getErr := c.Offers.Get(t.Context(), "offer_1")
		for _, failed := range []error{err, listErr, getErr} {
			if failed != nil {
				checkError(t, failed, want)
			}
		}
		if want.unsure {
			return
		}
		success := want.status/100 == 2 && !want.cut && want.object && len(want.errors) == 0 && !want.denied
		switch {
		case err != nil:
			assert.Nil(t, confirmation)
			assert.False(t, success, "%s is refused: %v", wire, err)
		case confirmation.AlreadyConfirmed:
			assert.Equal(t, 4, want.status/100, "%s", wire)
			assert.NotContains(t, []int{401, 403, 407, 408, 425, 429}, want.status, "%s", wire)
			assert.False(t, want.cut)
			assert.True(t, want.known, "%s", wire)
		default:
			assert.True(t, success, "%s is confirmed", wire)
		}
		if confirmation != nil {
			assert.True(t, fitForALog(confirmation.Message, 512), "%q", confirmation.Message)
			assert.NotContains(t, confirmation.Message, marked)
		}
		if listErr == nil || getErr == nil {
			assert.True(t, success, "%s is a list or an offer", wire)
		}
	})
}

// final are the errors without a possible retry, passing the errors with one.
var (
	final   = []error{sparkloop.ErrOfferNotFound, sparkloop.ErrSubmissionNotFound, sparkloop.ErrNotActionOffer}
	passing = []error{sparkloop.ErrUnauthorized, sparkloop.ErrRateLimited, sparkloop.ErrEndpointNotFound, sparkloop.ErrUnexpectedResponse}
)

// checkError compares an error with the answer.
func checkError(t *testing.T, err error, want spoken) {
	t.Helper()
	e := asError(t, err)
	if want.status < 100 {
		want = spoken{}
	}
	assert.Equal(t, want.status, e.StatusCode, "%v", err)
	assert.True(t, fitForALog(e.Message, 512), "%q", e.Message)
	assert.True(t, fitForALog(err.Error(), 2048), "%q", err.Error())
	assert.Positive(t, e.Attempts)
	assert.LessOrEqual(t, e.Attempts, 2)
	assert.LessOrEqual(t, len(e.Body), 64<<10)
	if !bytes.Contains(want.body, []byte(marked)) && want.status != http.StatusSwitchingProtocols {
		assert.Equal(t, string(want.body[:min(len(want.body), 64<<10)]), string(e.Body))
	}
	assert.NotContains(t, fmt.Sprintf("%+v %s %s", e, e.Body, err), marked)

	meanings := 0
	for _, sentinel := range append(final, passing...) {
		if errors.Is(err, sentinel) {
			meanings++
			assert.Equal(t, slices.Contains(passing, sentinel), sparkloop.Retryable(err), "%v", err)
		}
	}
	assert.LessOrEqual(t, meanings, 1, "%v", err)
	if !sparkloop.Retryable(err) {
		assert.Equal(t, 4, want.status/100, "%v", err)
		assert.NotContains(t, []int{401, 403, 407, 408, 425, 429}, want.status)
		assert.True(t, want.object && e.Message != "" && !want.cut, "%v", err)
	}
	assert.Equal(t, want.status == 401, errors.Is(err, sparkloop.ErrUnauthorized))
	assert.Equal(t, want.status == 429, errors.Is(err, sparkloop.ErrRateLimited))
	wait, ok := sparkloop.RetryAfter(err)
	assert.True(t, wait >= 0 && wait <= 24*time.Hour && (ok || wait == 0))
}
