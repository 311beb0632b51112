package redact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/redact"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a\x00b\nc\td\x1b[31me\x7f": "a b c d [31me", "  around  ": "around", " ~": "~",
		"\u202eright to left\u2028": "right to left", "bad \xff byte": "bad   byte", "ümläut": "ümläut",
		strings.Repeat("x", 512):         strings.Repeat("x", 512),
		strings.Repeat("x", 513):         strings.Repeat("x", 512),
		"x" + strings.Repeat("ü", 400):   "x" + strings.Repeat("ü", 255),
		"xyz" + strings.Repeat("😀", 400): "xyz" + strings.Repeat("😀", 127),
	} {
		assert.Equal(t, want, redact.Printable(in))
	}
}

// For texts of any length, no part of the key is left at the cut.
func TestACutTextHasNoPartOfTheKey(t *testing.T) {
	t.Parallel()
	const secret = "sEcret-key-0123456789"
	key := redact.NewKey(secret)
	for _, cut := range []struct {
		name string
		most int
		f    func(string) string
	}{{"Clean", redact.MaxMessage, key.Clean}, {"Excerpt", redact.MaxExcerpt, func(s string) string { return string(key.Excerpt([]byte(s))) }}} {
		for _, around := range []int{cut.most, cut.most + 8<<10, cut.most + 16<<10} {
			for before := around - 2*len(secret); before <= around+len(secret); before++ {
				for _, after := range []string{"", strings.Repeat("y", 20<<10)} {
					got := cut.f(strings.Repeat("x", before) + secret + after)
					assert.LessOrEqual(t, len(got), cut.most)
					assert.NotContains(t, got, "sEc", "%s, the key at %d", cut.name, before)
				}
			}
		}
	}
	whole := strings.Repeat("x", redact.MaxExcerpt)
	assert.Equal(t, whole, string(key.Excerpt([]byte(whole))), "nothing is lost of a text that fits")
	assert.Equal(t, whole, string(key.Excerpt([]byte(whole+"x"))))
	assert.Equal(t, whole, string(key.Excerpt(bytes.Repeat([]byte("x"), 1<<20))))
	assert.Equal(t, "[redacted] x", string(key.Excerpt([]byte(secret+" x"))))
}

// A long repeated key shrinks so much that the cut becomes visible.
func TestNoPartOfALongKeyIsLeft(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("K3y-", 255)
	key := redact.NewKey(long)
	for length, cut := range map[int]func(string) string{
		redact.MaxMessage + 16<<10: key.Clean,
		redact.MaxExcerpt + 8<<10:  func(s string) string { return string(key.Excerpt([]byte(s))) },
	} {
		for _, extra := range []int{1, 2, 3, 500, len(long) - 1, len(long), len(long) + 1, 9 << 10} {
			text := strings.Repeat(long, length/len(long)+12)[:length+extra]
			assert.NotContains(t, cut(text), "K3y", "%d bytes", len(text))
		}
	}
	fits := strings.Repeat("x", (redact.MaxExcerpt+8<<10)%len(long)) + strings.Repeat(long, (redact.MaxExcerpt+8<<10)/len(long))
	assert.NotEmpty(t, key.Excerpt([]byte(fits)), "nothing is dropped of a text that is looked at to its end")
	assert.NotContains(t, string(key.Excerpt([]byte(fits))), "K3y")
	assert.Empty(t, key.Excerpt([]byte(fits+"x")))
}

func TestErr(t *testing.T) {
	t.Parallel()
	key := redact.NewKey("sEcret")
	assert.NoError(t, key.Err(nil))
	plain := errors.New("plain")
	assert.Same(t, plain, key.Err(plain))
	echoed := key.Err(fmt.Errorf("the proxy said sEcret: %w", context.Canceled))
	assert.EqualError(t, echoed, "the proxy said [redacted]: context canceled")
	assert.ErrorIs(t, echoed, context.Canceled)
	assert.NotErrorIs(t, echoed, context.DeadlineExceeded)
	assert.NotContains(t, fmt.Sprintf("%+v %#v", echoed, echoed), "sEcret")
}
