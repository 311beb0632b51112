package delivery

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

const shortest = 2 * day // minimum of Options.Keep

// reach is how far back a sweep goes. Older confirmed conversions may be deleted.
func reach(o outbox.Options) time.Duration { return min(lifetime, o.Keep-day) }

// Complete sets the defaults and returns an error for invalid options. It does not
// change Now: nil means the clock of the database.
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
		return o, fmt.Errorf("outbox.Options.RetryMin and RetryMax: %s and %s: RetryMin must be at least 1ms, RetryMax at least RetryMin", o.RetryMin, o.RetryMax)
	case o.RetryMax > lifetime:
		return o, fmt.Errorf("outbox.Options.RetryMax: %s is longer than 45 days, after which SparkLoop accepts no conversion", o.RetryMax)
	case o.Keep < shortest:
		return o, fmt.Errorf("outbox.Options.Keep: %s is less than 2 days: confirmed conversions would be enqueued again", o.Keep)
	case o.Source == nil && o.SourceEvery != time.Hour:
		return o, errors.New("outbox.Options.SourceEvery: set Source too")
	case o.SourceEvery >= reach(o):
		return o, fmt.Errorf("outbox.Options.SourceEvery: %s is not less than the %s that a sweep goes back (45 days, or Keep minus a day): "+
			"sweeps would miss orders; lower SourceEvery or raise Keep", o.SourceEvery, reach(o))
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
