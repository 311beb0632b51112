package reply_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/reply"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 30<<10)
	for in, want := range map[string]string{
		`"a"`: "a", `" a "`: "a", `"ü"`: "ü", `"a\u0026\"b\""`: `a&"b"`, `""`: "", `null`: "", `false`: "", `[]`: "", `{}`: "", `[ ]`: "", `{ }`: "",
		`" "`: `" "`, `0`: "0", `7`: "7", `true`: "true", `[null]`: "[null]", `[""]`: `[""]`, `{"base":[]}`: `{"base":[]}`, `{"code":"E7"}`: `{"code":"E7"}`,
		`["a","b"]`: "a, b", `["a",7,"a","b"]`: "a, b", `[["a"],["b"]]`: "a, b",
		`{"message":"a"}`: "a", `{"title":"t","detail":"d"}`: "t, d", `{"message":"m","title":"t","detail":"d","code":"x"}`: "m, t, d", `{"message":["a","b"]}`: "a, b",
		`[{"title":"t"},{"detail":"d"}]`: "t, d", `{"message":null,"title":"t"}`: "t", `{"message":{"title":"t"}}`: "t",
		`{"email":["is invalid","is too short"]}`: "email is invalid, email is too short", `{"b":["2"],"a_b":["1"]}`: "a b 1, b 2",
		`{"base":["a"],"errors":["b"],"full_messages":["c"],"error":["d"]}`: "a, d, b, c", `{"base":"a"}`: "a", `{"error":"a","code":7}`: "a",
		`{"offer":{"submission":["x"]}}`: "offer submission x", `{"x":["Submission not found"]}`: "Submission not found", `{"submission":["not found"]}`: "submission not found",
		`"` + long + `"`: long[:20<<10], `["` + long + `"]`: long[:20<<10], `[` + strings.Repeat("0,", 40<<10) + `0]`: ("[" + strings.Repeat("0,", 40<<10))[:20<<10],
	} {
		var texts reply.Texts
		require.NoError(t, json.Unmarshal([]byte(in), &texts), in)
		assert.Equal(t, want, texts.String(), in)
	}
	// The values of a repeated key add up.
	var said struct{ Error reply.Texts }
	require.NoError(t, json.Unmarshal([]byte(`{"error":"a","error":null,"Error":7,"ERROR":["b","a"],"error":""}`), &said))
	assert.Equal(t, "a, b", said.Error.String())
	assert.Equal(t, "a", said.Error.First())
	require.NoError(t, json.Unmarshal([]byte(`{"error":{"code":7}}`), &said))
	assert.Equal(t, "a, b", said.Error.String(), "a value without a text adds nothing to texts")
}

// Each known message in all its spellings, and texts that are not known
// messages.
func TestALongText(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]reply.Refusal{300: reply.SubmissionNotFound, 301: reply.None} {
		text := "Submission " + strings.Repeat("1", length-len("Submission  not found")) + " not found"
		assert.Equal(t, want, read(answer(404, fmt.Sprintf(`{"error":%q}`, text)), true).Refusal, length)
	}
}

func TestKnownMessages(t *testing.T) {
	t.Parallel()
	known := map[string]reply.Refusal{
		"Offer submission must be unique": reply.AlreadyConfirmed, "Submission must be unique": reply.AlreadyConfirmed, "Offer submission submission_1a must be unique": reply.AlreadyConfirmed,
		"Offer submission must be an action": reply.NotActionOffer, "Submission 7c9e6679-7425-40de-944b-e07fc1f90ae7 must be an action": reply.NotActionOffer,
		"Offer not found": reply.OfferNotFound, "Offer offer_4bc10562d97 not found.": reply.OfferNotFound, "Offer 17 not found": reply.OfferNotFound,
		"Submission not found": reply.SubmissionNotFound, "Offer submission not found": reply.SubmissionNotFound, "Submission submission_1234abcd not found": reply.SubmissionNotFound,
		"Submission " + strings.Repeat("a", 127) + "_ not found": reply.SubmissionNotFound,
	}
	around := []string{"%s", " %s ", "%s.", "%s...", "%s!", "%s \n.", "\t%s"}
	shapes := []string{
		`{"error":%s}`, `{"errors":[%s]}`, `{"message":%s}`, `{"errors":{"base":[%s]}}`, `{"error":{"message":%s}}`, `{"errors":[{"detail":%s}]}`, `{"errors":[{"title":"Not Found","detail":%s}]}`,
		`{"error":"Unprocessable Entity","message":%s}`, `{"error":"Something else","message":%s}`, `{"error":%s,"message":"See the docs"}`, `{"error":%[1]s,"errors":[%[1]s,%[1]s]}`, `{"errors":{"offer":[%s]}}`,
		`{"error":"Validation failed","errors":[%s]}`, `{"status":422,"success":false,"error":%s}`,
	}
	for message, want := range known {
		for _, cased := range []string{message, strings.ToUpper(message), strings.ToLower(message)} {
			for _, form := range around {
				text, err := json.Marshal(fmt.Sprintf(form, cased))
				require.NoError(t, err)
				for _, shape := range shapes {
					m := read(answer(422, fmt.Sprintf(shape, text)), false)
					assert.Equal(t, want, m.Refusal, shape, string(text))
					assert.True(t, m.Final)
				}
			}
		}
		for _, longer := range []string{
			"Your contact form %s", "%s within the form", "Error: %s", "Validation failed: %s", "%s and Offer must exist", "%[1]s %[1]s", "%[1]s, %[1]s", "no %s", "%s?", "(%s)", "%s: x",
		} {
			for _, shape := range shapes {
				text, err := json.Marshal(fmt.Sprintf(longer, message))
				require.NoError(t, err)
				m := read(answer(422, fmt.Sprintf(shape, text)), false)
				assert.Equal(t, reply.None, m.Refusal, shape, string(text))
				assert.False(t, m.Final)
			}
		}
		for other, refusal := range known {
			m := read(answer(422, fmt.Sprintf(`{"errors":[%q,%q]}`, message, other)), false)
			both := read(answer(422, fmt.Sprintf(`{"error":%q,"message":%q}`, message, other)), false)
			if refusal == want {
				assert.Equal(t, want, m.Refusal)
				assert.Equal(t, want, both.Refusal)
				continue
			}
			assert.Equal(t, reply.None, m.Refusal, "%s, %s", message, other)
			assert.Equal(t, reply.None, both.Refusal, "%s, %s", message, other)
		}
	}
	for _, none := range []string{
		"Offer page not found", "Offer form submission must be unique", "Submission form not found", "Endpoint not found", "Not found", "Offer is not found", "Offer a b_1 not found",
		"Submission must be an action and submission must be unique", "Submission " + strings.Repeat("a_", 200) + " not found", "submission must not be unique", "offers not found",
	} {
		assert.Equal(t, reply.None, read(answer(422, fmt.Sprintf(`{"error":%q}`, none)), true).Refusal, none)
	}
}
