package redact

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxMessage is the maximum length of a message, in bytes.
	MaxMessage = 512
	// MaxExcerpt is how much of a body an error keeps, in bytes.
	MaxExcerpt = 64 << 10

	// longestKey is the longest form of a key: 1 KiB, escaped to six times the
	// length.
	longestKey = 8 << 10
)

// Excerpt returns the beginning of a body without the key, at most MaxExcerpt
// bytes.
func (k Key) Excerpt(body []byte) []byte {
	return []byte(k.cut(string(body[:min(len(body), MaxExcerpt+longestKey+1)]), MaxExcerpt))
}

// Clean returns the beginning of a server's text without the key, printable, in
// one line, at most MaxMessage bytes.
func (k Key) Clean(s string) string { return Printable(k.cut(s, MaxMessage+longestKey)) }

// cut redacts the beginning of a text. If the text is longer, the end of the
// excerpt is dropped: it may be a part of the key.
func (k Key) cut(s string, most int) string {
	whole := len(s) <= most+longestKey
	s = k.Redact(s[:min(len(s), most+longestKey)])
	if !whole {
		s = s[:max(0, len(s)-longestKey)]
	}
	return s[:min(len(s), most)]
}

// Err returns err. If its text contains the key, Err returns an error with the
// redacted text that matches the same errors.
func (k Key) Err(err error) error {
	if err == nil {
		return nil
	}
	text := k.Redact(err.Error())
	if text == err.Error() {
		return err
	}
	return &redactedError{text, func(target error) bool { return errors.Is(err, target) }}
}

// redactedError keeps the original error in a closure: errors.Is can match it,
// and fmt cannot print it.
type redactedError struct {
	text string
	is   func(target error) bool
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Is(target error) bool { return e.is(target) }

// Printable replaces control characters and line breaks by spaces, and returns
// at most MaxMessage bytes.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= MaxMessage {
		return s
	}
	end := MaxMessage
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
