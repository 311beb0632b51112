package sheet

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// layouts are the formats without ambiguity between day and month. The default
// zone is UTC.
var layouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05",
	"2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05 Z07:00",
	"2006-01-02 15:04:05-07",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05 -0700 MST", // of Go
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05",
	"2006-01-02 15:04",
	"2006-01-02",
	"2006/01/02 15:04:05",
	"2006/01/02",
	"02.01.2006 15:04:05",
	"02.01.2006 15:04",
	"02.01.2006",
	time.RFC1123,
	time.RFC1123Z,
	"Jan 2, 2006",
	"2 Jan 2006",
}

// ParseTime reads a cell: a date, a date with a time, or Unix seconds or
// milliseconds. "" is the zero time. An ambiguous date such as 03/04/2026 is an
// error.
func ParseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch len(text) {
		case 10:
			return time.Unix(n, 0).UTC(), nil
		case 13:
			return time.UnixMilli(n).UTC(), nil
		}
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("unreadable time: write 2006-01-02 or 2006-01-02T15:04:05Z")
}

// ParseSince reads an age or a date: "45d", "6w", "36h", "2006-01-02".
func ParseSince(text string, now time.Time) (time.Time, error) {
	for unit, d := range map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 10_000 {
				return now.Add(-time.Duration(n) * d), nil
			}
		}
	}
	if t, err := ParseTime(text); err == nil && !t.IsZero() {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is neither an age such as 45d, 6w or 36h, nor a date such as 2006-01-02", text)
}
