package sheet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sparkloop-go/sparkloop"
)

// decode returns a file's text with "\n" as line ends. It reads UTF-8 with or
// without a byte order mark, UTF-16 with one, and anything else as Latin-1: IDs
// and column names are the same there.
func decode(data []byte) (string, error) {
	var text string
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		text = fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		text = fromUTF16(data[2:], binary.BigEndian)
	case utf8.Valid(data):
		text = strings.TrimPrefix(string(data), "\uFEFF")
	default:
		letters := make([]rune, len(data))
		for i, b := range data {
			letters[i] = rune(b)
		}
		text = strings.TrimPrefix(string(letters), "ï»¿") // UTF-8's byte order mark, read as Latin-1
	}
	first, _, _ := strings.Cut(text, "\n")
	if strings.ContainsRune(first, 0) {
		return "", &RefusalError{Problem: "The first line has NUL bytes: the file is not text, or it is UTF-16 without a byte order mark", Advice: "Save it as CSV in UTF-8"}
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	return text, nil
}

func fromUTF16(data []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return string(utf16.Decode(units))
}

// clean returns a cell without invisible characters around it.
func clean(cell string) string {
	return strings.TrimFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' || r == '\u200b' })
}

func isNone(err error) bool { return errors.Is(err, sparkloop.ErrNoTracking) }
