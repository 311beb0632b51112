package delivery

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// textMax bounds a text from outside, in bytes.
const textMax = 2000

// plain returns a text from outside in a form that each database can store: valid
// UTF-8 in one line, without control characters, at most textMax bytes. An engine
// whose database may have another encoding also escapes what is not ASCII.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Noncharacter_Code_Point, r):
			return utf8.RuneError
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, text)
	if len(text) > textMax {
		const more = "..."
		text = strings.ToValidUTF8(text[:textMax-len(more)], "") + more
	}
	return text
}

// ascii escapes the characters of a JSON text that are not ASCII: the database's
// encoding may lack them.
func ascii(json []byte) string {
	var b strings.Builder
	for _, r := range string(json) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		units := []rune{r}
		if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			units = []rune{high, low}
		}
		for _, unit := range units {
			const hex = "0123456789abcdef"
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(hex[unit>>shift&15])
			}
		}
	}
	return b.String()
}
