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

// published are the hosts that SparkLoop's documents name. They are one API.
var published = []string{"api.sparkloop.app", "dash.sparkloop.app"}

// apiOf names the API that a client calls.
func apiOf(c *sparkloop.Client) string {
	base := c.BaseURL()
	if u, err := url.Parse(base); err == nil && slices.Contains(published, u.Hostname()) {
		return sparkloop.DefaultBaseURL
	}
	return base
}

func foreignReason(queue, own string) string {
	return outbox.OtherAPI + ": it calls " + own + ", and the queue delivers to " + queue +
		"; give each API a queue of its own, or set Options.AdoptAPI once"
}

// Join is called once, before a process begins to deliver. The queue remembers
// the API of the first process: one with another API, such as a test, would
// confirm or bury everybody's conversions at the wrong place, and delivers
// nothing. With Options.AdoptAPI the queue takes this process's API.
//
// Nothing about the key is stored: a hash of it would let whoever reads the
// database try keys.
func (p *Policy) Join(ctx context.Context) (delivers bool, err error) {
	foreign := ""
	err = p.gate.update(ctx, func(s *state, _ time.Time) bool {
		foreign = ""
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
	return foreign == "", err
}
