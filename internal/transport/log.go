package transport

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Log returns a log function for a level, or nil if the level is disabled. With
// it between a Transport and its logger, the linker drops log/slog from a
// program that uses no logger.
type Log func(context.Context, slog.Level) func(message string, attrs ...slog.Attr)

// NewLog returns a Log to a logger.
func NewLog(l *slog.Logger) Log {
	return func(ctx context.Context, level slog.Level) func(string, ...slog.Attr) {
		if !l.Enabled(ctx, level) {
			return nil
		}
		return func(message string, attrs ...slog.Attr) { l.LogAttrs(ctx, level, message, attrs...) }
	}
}

func silent(context.Context, slog.Level) func(string, ...slog.Attr) { return nil }

func (a *Answer) logAttempt(ctx context.Context, resp *http.Response, err error) {
	log := a.t.cfg.Log(ctx, slog.LevelDebug)
	if log == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", a.Method), slog.String("path", a.URL.Path),
		slog.Int("attempt", a.Attempts), slog.Duration("took", time.Since(a.began)),
	}
	if resp != nil {
		attrs = append(attrs, slog.Int("status", resp.StatusCode))
	}
	if err != nil {
		attrs = append(attrs, a.errorAttr(err))
	}
	log("sparkloop: attempt", attrs...)
}

func (a *Answer) logGivingUp(ctx context.Context) {
	log := a.t.cfg.Log(ctx, slog.LevelWarn)
	if log == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", a.Method), slog.String("path", a.URL.Path),
		slog.Int("attempts", a.Attempts), slog.Int("status", a.StatusCode),
	}
	if a.Err != nil {
		attrs = append(attrs, a.errorAttr(a.Err))
	}
	log("sparkloop: giving up", attrs...)
}

func (a *Answer) logNoPause(ctx context.Context, err error) {
	if log := a.t.cfg.Log(ctx, slog.LevelWarn); log != nil {
		log("sparkloop: the limiter could not pause", a.errorAttr(err))
	}
}

func (a *Answer) errorAttr(err error) slog.Attr {
	return slog.String("error", a.t.cfg.Redact(err.Error()))
}
