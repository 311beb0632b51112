package riveroutbox

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietFor is the shortest time between two equal messages in the log.
const quietFor = time.Minute

// riverLog passes River's warnings and errors on, each message at most once a
// minute, and none during Close. Without it, a database outage of 10 s logs 40
// lines, and a shutdown logs its own canceled contexts.
type riverLog struct {
	slog.Handler
	closing <-chan struct{}
	seen    *seen
}

type seen struct {
	mu sync.Mutex
	at map[string]time.Time
}

func newRiverLog(h slog.Handler, closing <-chan struct{}) *riverLog {
	return &riverLog{h, closing, &seen{at: make(map[string]time.Time)}}
}

func (l *riverLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && l.Handler.Enabled(ctx, level)
}

func (l *riverLog) Handle(ctx context.Context, r slog.Record) error {
	select {
	case <-l.closing:
		return nil
	default:
	}
	if l.seen.lately(r.Message, r.Time) {
		return nil
	}
	r.Message = "sparkloop outbox: " + r.Message
	return l.Handler.Handle(ctx, r)
}

func (l *riverLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &riverLog{l.Handler.WithAttrs(attrs), l.closing, l.seen}
}

func (l *riverLog) WithGroup(name string) slog.Handler {
	return &riverLog{l.Handler.WithGroup(name), l.closing, l.seen}
}

// lately notes a message and reports whether it was logged within quietFor.
func (s *seen) lately(message string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.at[message]).Abs() < quietFor {
		return true
	}
	if len(s.at) >= 100 { // messages may contain IDs
		clear(s.at)
	}
	s.at[message] = now
	return false
}
