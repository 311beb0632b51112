package riveroutbox

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietFor is how long the same line is not logged again.
const quietFor = time.Minute

// riverLog passes on what River warns of, each message once a minute, and
// nothing while we close: a 10 s outage of the database is 40 lines otherwise,
// and a shutdown a few about its own cancelled contexts.
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

// lately notes a message and says whether it was logged within quietFor.
func (s *seen) lately(message string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.at[message]).Abs() < quietFor {
		return true
	}
	if len(s.at) >= 100 { // messages with ids in them
		clear(s.at)
	}
	s.at[message] = now
	return false
}
