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

// fast is how fast the queue's clock goes. PostgreSQL works in real time, and so do
// the looks for what is due: the second between two of them is half a minute.
const fast = 30

// simulation is a queue on a clock that goes faster.
func simulation(t *testing.T) *chaos.Simulation {
	t.Helper()
	if os.Getenv("SPARKLOOP_CHAOS") != "full" {
		t.Skip("make chaos runs it: it takes minutes")
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
			simulation(t).BesideBroken(t, 100, 180, offer)
		})
	}
}

// A backlog of 10,000 takes three minutes. SQLite's has 100,000.
func TestChaosOfABacklog(t *testing.T) {
	t.Parallel()
	simulation(t).Backlog(t, 10_000)
}
