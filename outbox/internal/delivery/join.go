package delivery

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// published are the hosts in SparkLoop's documentation. They are one API.
var published = []string{"api.sparkloop.app", "dash.sparkloop.app"}

// apiOf returns the base URL that identifies a client's API.
func apiOf(c *sparkloop.Client) string {
	base := c.BaseURL()
	if u, err := url.Parse(base); err == nil && slices.Contains(published, u.Hostname()) {
		return sparkloop.DefaultBaseURL
	}
	return base
}

func foreignReason(queue, own string) string {
	return outbox.OtherAPI + ": it calls " + own + ", the queue delivers to " + queue +
		"; use one queue per API, or set Options.AdoptAPI once"
}

// Join is called once, before a process begins to deliver. The queue stores the
// API of the first process. A process with another API, such as a test, does not
// deliver: it would send production's conversions to the wrong place. With
// Options.AdoptAPI the queue stores this process's API.
func (p *Policy) Join(ctx context.Context) (delivers bool, err error) {
	foreign, otherKey := "", false
	err = p.gate.update(ctx, func(s *state, _ time.Time) bool {
		foreign, otherKey = "", len(s.Keys) > 0 && s.Keys[p.keyMark(s)] == 0
		if s.API == "" || p.o.AdoptAPI {
			changed := s.API != p.gate.api
			s.API = p.gate.api
			return changed
		}
		if p.gate.foreign(s) {
			foreign = s.API
		}
		return false
	})
	p.opened = p.Now()
	if foreign != "" {
		p.o.Logger.LogAttrs(ctx, slog.LevelWarn, "sparkloop outbox: no delivery",
			slog.String("reason", foreignReason(foreign, p.gate.api)))
	}
	if otherKey && foreign == "" {
		p.o.Logger.WarnContext(ctx, "sparkloop outbox: this process has another API key than the queue had so far: "+
			"ignore this for a new key of the same account; give each account its own database")
	}
	return foreign == "", err
}
