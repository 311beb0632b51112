package reply

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// longestText limits each text. A text cut at this length matches no known
// message, and is still longer than a message with an escaped key in it.
const longestText = 20 << 10

// longestList limits the values other than strings that are searched for texts.
const longestList = 64 << 10

// Texts is the value of "error", "errors" or "message": a string, a list, an
// object of lists, or objects with a "message", "title" or "detail".
type Texts struct {
	first string // most answers have one text
	more  []string
	raw   string // a non-empty value without a text, such as {"code":7}
}

// UnmarshalJSON adds the texts of a value. It never fails. The values of a
// repeated key add up, so that a contradicting answer is no success.
func (t *Texts) UnmarshalJSON(value []byte) error {
	switch {
	case value[0] == '"':
		s := unquoted(value)
		if s == "" {
			return nil
		}
		t.add("", s)
	case len(value) <= longestList:
		var v any
		_ = json.Unmarshal(value, &v) // already validated by the decoder
		if empty(v) {
			return nil
		}
		t.collect("", v)
	}
	if t.first == "" {
		t.raw = string(value[:min(len(value), longestText)])
	}
	return nil
}

// unquoted returns the text of a JSON string.
func unquoted(value []byte) string {
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner) // fast path: most texts have no escapes
	}
	var s string
	_ = json.Unmarshal(value, &s) // already validated by the decoder
	return s
}

// String returns all texts, or the JSON of a value without texts.
func (t *Texts) String() string {
	switch {
	case t.first == "":
		return t.raw
	case len(t.more) == 0:
		return t.first
	}
	return t.first + ", " + strings.Join(t.more, ", ")
}

// First returns the first text, or "".
func (t *Texts) First() string { return t.first }

func (t *Texts) all() []string {
	if t.first == "" {
		return nil
	}
	return append([]string{t.first}, t.more...)
}

// add adds a text found under an object's key.
func (t *Texts) add(key, text string) {
	text = strings.TrimSpace(text[:min(len(text), longestText)])
	if text == "" {
		return
	}
	if words := strings.ReplaceAll(key, "_", " "); words != "" && meaning(text) == None {
		text = words + " " + text
	}
	switch {
	case t.first == "":
		t.first = text
	case text != t.first && !slices.Contains(t.more, text):
		t.more = append(t.more, text)
	}
}

// collect adds the texts in a value found under a key.
func (t *Texts) collect(key string, value any) {
	switch value := value.(type) {
	case string:
		t.add(key, value)
	case []any:
		for _, element := range value {
			t.collect(key, element)
		}
	case map[string]any:
		described := false
		for _, name := range []string{"message", "title", "detail"} {
			if inner, ok := value[name]; ok {
				described = true
				t.collect("", inner)
			}
		}
		if described {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			switch inner := value[name].(type) {
			case []any, map[string]any:
				t.collect(strings.TrimSpace(key+" "+unnamed(name)), inner)
			case string:
				if unnamed(name) == "" {
					t.collect(key, inner)
				}
			}
		}
	}
}

// unnamed returns "" for a key that is no part of the text below it.
func unnamed(key string) string {
	switch key {
	case "base", "error", "errors", "full_messages":
		return ""
	}
	return key
}

// empty reports whether a value means no error: null, false, [] or {}.
func empty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case bool:
		return !value
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	}
	return false
}
