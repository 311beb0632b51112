package redact_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/redact"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	key := redact.NewKey(`ab+/<c>"=&d%`)
	for in, want := range map[string]string{
		`nothing here`:      `nothing here`,
		`key ab+/<c>"=&d%!`: `key [redacted]!`,
		`{"error":"ab+/\u003cc\u003e\"=\u0026d%"}`:  `{"error":"[redacted]"}`,
		`{"error":"ab+\/\u003cc\u003e\"=\u0026d%"}`: `{"error":"[redacted]"}`,
		`{"error":"ab+/<c>\"=&d%"}`:                 `{"error":"[redacted]"}`,
		`{"error":"ab+\/<c>\"=&d%"}`:                `{"error":"[redacted]"}`,
		`<p>ab+/&lt;c&gt;&#34;=&amp;d%</p>`:         `<p>[redacted]</p>`,
		`<p>ab+/&lt;c&gt;&quot;=&amp;d%</p>`:        `<p>[redacted]</p>`,
		`?k=ab%2b%2f%3cc%3e%22%3d%26d%25`:           `?k=[redacted]`,
		`?k=ab%2B%2F%3Cc%3E%22%3D%26d%25`:           `?k=[redacted]`,
		`/ab+%2F%3Cc%3E%22=&d%25/`:                  `/[redacted]/`,
		`ab+/<c>"=&d%ab+/<c>"=&d%`:                  `[redacted][redacted]`,
	} {
		assert.Equal(t, want, key.Redact(in))
	}
	quoted := redact.NewKey("it's-a-key")
	for _, in := range []string{"it's-a-key", "it&#39;s-a-key", "it&#x27;s-a-key", "it%27s-a-key"} {
		assert.Equal(t, "[redacted]", quoted.Redact(in))
	}
}

func TestAShortKeyGarblesNothing(t *testing.T) {
	t.Parallel()
	key := redact.NewKey("k")
	assert.Equal(t, "Conversion tracked", key.Redact("Conversion tracked"))
	assert.Equal(t, http.Header{"Link": {"k"}}, key.RedactHeader(http.Header{"Link": {"k"}}))
}

// The longest form is replaced first. The shortest key has four characters.
func TestTheEndsOfAKey(t *testing.T) {
	t.Parallel()
	key := redact.NewKey(`abcd\`)
	assert.Equal(t, `[redacted] and [redacted]`, key.Redact(`abcd\ and abcd\\`))
	four := redact.NewKey("k3y!")
	assert.Equal(t, "[redacted]", four.Redact("k3y!"))
	assert.Equal(t, http.Header{"B": {"[redacted]"}}, four.RedactHeader(http.Header{"A-K3Y!": {"x"}, "B": {"k3y!"}}))
	three := redact.NewKey("k3y")
	assert.Equal(t, "k3y", three.Redact("k3y"))
	assert.Equal(t, http.Header{"K3y": {"k3y"}}, three.RedactHeader(http.Header{"K3y": {"k3y"}}))
}

func TestRedactHeader(t *testing.T) {
	t.Parallel()
	key := redact.NewKey("sEcret-1")
	in := http.Header{"X-Echo": {"is sEcret-1", "fine"}, "X-Secret-1-Name": {"v"}, "Date": {"today"}}
	assert.Equal(t, http.Header{"X-Echo": {"is [redacted]", "fine"}, "Date": {"today"}}, key.RedactHeader(in))
	assert.Equal(t, []string{"is sEcret-1", "fine"}, in["X-Echo"], "the original stays")
	assert.Equal(t, http.Header{}, key.RedactHeader(nil))
}

func TestNoVerbPrintsTheKey(t *testing.T) {
	t.Parallel()
	key := redact.NewKey("marked-key")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{key, &key, struct{ K redact.Key }{key}} {
			assert.NotContains(t, fmt.Sprintf(verb, value), "marked-key")
			assert.NotContains(t, fmt.Sprintf(verb, value), fmt.Sprintf("%x", "marked-key"))
		}
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	one, other := redact.NewKey("key-of-one-account"), redact.NewKey("key-of-another-account")
	assert.Regexp(t, "^[0-9a-f]{4}$", one.Mark("salt"))
	assert.Equal(t, redact.NewKey("key-of-one-account").Mark("salt"), one.Mark("salt"))
	assert.NotEqual(t, one.Mark("salt"), other.Mark("salt"))
	assert.NotEqual(t, one.Mark("salt"), one.Mark("pepper"))
}
