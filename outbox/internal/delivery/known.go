package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Lookup is the method of [outbox.Queue].
type Lookup = func(context.Context, sparkloop.Tracking) (outbox.Entry, bool, error)

// Known logs that Enqueue found the conversion in the queue: it may hide a second
// sale. The state is "unknown" if it cannot be read, for example because the
// conversion's transaction has not committed.
func (p *Policy) Known(ctx context.Context, t sparkloop.Tracking, lookup Lookup) {
	if t.IsZero() || !p.o.Logger.Enabled(ctx, slog.LevelInfo) { // a purchase without a tracking
		return
	}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	state := outbox.State("unknown")
	if e, found, err := lookup(bounded, t); err == nil && found {
		state = e.State
	}
	p.o.Logger.LogAttrs(ctx, slog.LevelInfo, "sparkloop outbox: already enqueued, unchanged",
		slog.String("conversion", t.Key()), slog.String("state", string(state)))
}
