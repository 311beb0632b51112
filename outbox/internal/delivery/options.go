package delivery

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

const shortest = 2 * day // that a confirmed conversion is kept

// reach is how far back a sweep goes: never to what may be forgotten already.
func reach(o outbox.Options) time.Duration { return min(lifetime, o.Keep-day) }

// Complete fills in the defaults and refuses what makes no sense. It leaves Now
// as it is: nil is the clock of the database.
func Complete(o outbox.Options) (outbox.Options, error) {
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.RetryMax > 0 && o.RetryMin == 0 {
		o.RetryMin = min(o.RetryMax, 5*time.Second)
	}
	if o.RetryMax == 0 {
		o.RetryMax = max(o.RetryMin, time.Hour)
	}
	for _, d := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{
		{"RetryMin", &o.RetryMin, 5 * time.Second},
		{"RetryMax", &o.RetryMax, 0},
		{"Keep", &o.Keep, 60 * day},
		{"SourceEvery", &o.SourceEvery, time.Hour},
	} {
		if *d.value < 0 {
			return o, fmt.Errorf("outbox.Options.%s: %s is negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	switch {
	case o.Workers > 1000:
		return o, fmt.Errorf("outbox.Options.Workers: %d is more than 1000", o.Workers)
	case o.RetryMin < time.Millisecond || o.RetryMax < o.RetryMin:
		return o, fmt.Errorf("outbox.Options.RetryMin and RetryMax: %s and %s are not a pause of at least 1ms and a longer one", o.RetryMin, o.RetryMax)
	case o.RetryMax > lifetime:
		return o, fmt.Errorf("outbox.Options.RetryMax: %s is longer than the 45 days that a conversion lives", o.RetryMax)
	case o.Keep < shortest:
		return o, fmt.Errorf("outbox.Options.Keep: %s is less than two days: what was confirmed would be enqueued again", o.Keep)
	case o.Source == nil && o.SourceEvery != time.Hour:
		return o, errors.New("outbox.Options.SourceEvery without a Source")
	case o.SourceEvery >= reach(o):
		return o, fmt.Errorf("outbox.Options.SourceEvery: %s is not less than the %s that a sweep goes back (45 days, or Keep less a day): "+
			"orders in between would never be asked for; sweep more often, or keep longer", o.SourceEvery, reach(o))
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
