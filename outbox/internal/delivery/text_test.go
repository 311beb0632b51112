package delivery

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "",
		"Submission not found":    "Submission not found",
		"isn’t an action, 日本 😀":   "isn’t an action, 日本 😀",
		"a\x00b\nc\td\x7fe\u0085": "a b c d e ",
		"cut \xe2\x80":            "cut \uFFFD\uFFFD",
		"\uFFFF \U0010FFFE":       "\uFFFD \uFFFD",
	} {
		assert.Equal(t, want, plain(text))
		assert.Equal(t, want, plain(want), "twice")
	}
	for _, long := range []string{strings.Repeat("a", 5000), strings.Repeat("’", 5000), "a" + strings.Repeat("😀", 5000)} {
		short := plain(long)
		assert.LessOrEqual(t, len(short), textMax)
		assert.Greater(t, len(short), textMax-10)
		assert.True(t, utf8.ValidString(short))
		assert.True(t, strings.HasSuffix(short, "..."))
	}
}

func TestASCII(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "plain", "isn’t", "日本 😀", "\u2028\x00\\\"<"} {
		marshalled, err := json.Marshal(text)
		require.NoError(t, err)
		safe := ascii(marshalled)
		for _, b := range []byte(safe) {
			require.Less(t, b, byte(utf8.RuneSelf), text)
		}
		var back string
		require.NoError(t, json.Unmarshal([]byte(safe), &back))
		assert.Equal(t, text, back)
	}
}
