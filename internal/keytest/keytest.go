// Package keytest checks that a program's output never contains the API key. It
// is for tests of types that hold the key.
package keytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Key is a key that is easy to find.
const Key = "MARKED-api-key-0123456789"

// Search fails the test if it finds Key, or a good part of it. It is safe for
// concurrent use.
type Search struct {
	tb testing.TB

	mu  sync.Mutex
	log bytes.Buffer
}

// New returns a Search. The output of its Logger is searched at the end of the
// test.
func New(tb testing.TB) *Search {
	tb.Helper()
	s := &Search{tb: tb}
	tb.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.Text("the log", s.log.String())
	})
	return s
}

// Text searches a text for the key, for most of the key, and for its bytes in
// hex or as numbers.
func (s *Search) Text(what, text string) {
	s.tb.Helper()
	lower := strings.ToLower(text)
	for _, form := range forms {
		if i := strings.Index(lower, form); i >= 0 {
			s.tb.Errorf("%s shows the key: ...%.200q", what, text[max(0, min(i, len(text))-40):])
			return
		}
	}
}

// Values searches everything that a program may print of the values: with every
// verb and flag, alone, copied, and within structs, lists, maps and errors; as
// JSON; in a log, at each level; and in a panic.
func (s *Search) Values(what string, values ...any) {
	s.tb.Helper()
	for _, v := range values {
		if _, ok := v.(error); !ok && flat(v) {
			s.Text(what, fmt.Sprintf("%v %x", v, v)) // has no methods that could hide the key
			continue
		}
		for _, format := range formats {
			s.Text(what+": "+format, fmt.Sprintf(format, v))
		}
		for _, held := range holders(v) {
			for _, format := range plain {
				s.Text(fmt.Sprintf("%s in a %T: %s", what, held, format), fmt.Sprintf(format, held))
			}
		}
		if data, err := json.Marshal(v); err == nil {
			s.Text(what+": JSON", string(data))
		} else {
			s.Text(what+": JSON's error", err.Error())
		}
		for level := slog.LevelDebug; level <= slog.LevelError; level += 4 {
			s.Logger().Log(context.Background(), level, "value", "v", v)
		}
		s.Text(what+": panic", panicked(v))
	}
}

// Logger returns a logger for every level, in text and in JSON.
func (s *Search) Logger() *slog.Logger {
	everything := &slog.HandlerOptions{Level: slog.Level(-100), AddSource: true}
	into := writer(func(p []byte) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.log.Write(p)
	})
	return slog.New(both{slog.NewTextHandler(into, everything), slog.NewJSONHandler(into, everything)})
}

// Log returns the Logger's output so far.
func (s *Search) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// verbs are the verbs of fmt, and an unknown one.
const verbs = "vTtbcdoOqxXUeEfFgGspz"

// formats are for the value itself, plain for a value that holds it. forms are
// the spellings of the key in them, in lower case.
var formats, plain, forms = printing()

func printing() (formats, plain, forms []string) {
	all := []string{strings.ToLower(Key[:10]), strings.ToLower(Key[len(Key)-10:])}
	for _, verb := range verbs {
		for _, flags := range []string{"", "+", "#", " ", "0", "-", "+#", "# ", "-40.200"} {
			format := "%" + flags + string(verb)
			formats = append(formats, format)
			if strings.ContainsRune("vsqxd", verb) && len(flags) < 2 && flags != "0" && flags != "-" {
				plain = append(plain, format)
			}
			if verb == 'T' || verb == 'p' || flags != "" && format != "% x" {
				continue // a flag adds nothing
			}
			for _, key := range []any{Key, []byte(Key)} {
				if form := strings.Trim(strings.ToLower(fmt.Sprintf(format, key)), "[] "); !strings.Contains(form, "%!") {
					all = append(all, form[:min(len(form), 40)])
				}
			}
		}
	}
	// A form that contains another finds nothing more.
	slices.SortFunc(all, func(a, b string) int { return len(a) - len(b) })
	for _, form := range all {
		if !slices.ContainsFunc(forms, func(shorter string) bool { return strings.Contains(form, shorter) }) {
			forms = append(forms, form)
		}
	}
	return formats, plain, forms
}

// flat reports whether v is nil, a text or a number.
func flat(v any) bool {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.Struct:
		return false
	default:
		return true
	}
}

// holders returns values that contain v.
func holders(v any) []any {
	hs := []any{
		struct{ V any }{v}, struct{ v any }{v}, &struct{ V any }{v}, []any{v}, map[string]any{"v": v},
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() {
		hs = append(hs, p.Elem().Interface(), struct{ V any }{p.Elem().Interface()})
	}
	if err, ok := v.(error); ok {
		hs = append(hs, fmt.Errorf("wrapped: %w", err))
	}
	return hs
}

// panicked returns the recovered value and the stack of a panic with v.
func panicked(v any) (text string) {
	defer func() { text = fmt.Sprintf("%v\n%s", recover(), debug.Stack()) }()
	panic(v)
}

// writer is a closure, because a value that holds the Logger must not print the
// log.
type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// both passes each record to two handlers.
type both [2]slog.Handler

func (b both) Enabled(context.Context, slog.Level) bool { return true }

func (b both) Handle(ctx context.Context, r slog.Record) error {
	for _, h := range b {
		if err := h.Handle(ctx, r.Clone()); err != nil {
			return err
		}
	}
	return nil
}

func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b[0].WithAttrs(attrs), b[1].WithAttrs(attrs)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b[0].WithGroup(name), b[1].WithGroup(name)}
}
