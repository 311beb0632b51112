package riveroutbox

import (
	"fmt"
	"os"
	"testing"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/chaos"
)

// simulation returns a queue whose clock runs fast times as fast as real time.
// PostgreSQL and the polling work in real time: at 30, the second between two polls
// is half a minute of the clock.
func simulation(t *testing.T, fast int) *chaos.Simulation {
	t.Helper()
	if os.Getenv("SPARKLOOP_CHAOS") != "full" {
		t.Skip("only in make chaos: it takes minutes")
	}
	server := pgtest.Shared(t)
	return &chaos.Simulation{Fast: fast, Open: func(t *testing.T, c *sparkloop.Client, o outbox.Options) outbox.Queue {
		t.Helper()
		return openBox(t, poolOn(t, server.Database(t)), c, Options{Options: o})
	}}
}

func TestChaosOfBrokenConversions(t *testing.T) {
	t.Parallel()
	for where, offer := range chaos.Offers {
		t.Run(fmt.Sprint("100 ", where), func(t *testing.T) {
			t.Parallel()
			simulation(t, 30).BesideBroken(t, 100, 180, offer)
		})
	}
}

// A backlog of 3,000 takes three minutes. At 10 times real time, PostgreSQL keeps up
// on a busy machine too. SQLite's backlog has 10,000 conversions. The order of
// 100,000 is tested without a database, in TestPickFromABacklogOf100000.
func TestChaosOfABacklog(t *testing.T) {
	t.Parallel()
	simulation(t, 10).Backlog(t, 3000)
}
