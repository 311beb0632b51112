package sqliteoutbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/chaos"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
)

// simulation returns a queue on the clock of a synctest bubble.
func simulation() *chaos.Simulation {
	return &chaos.Simulation{Fast: 1, Open: func(t *testing.T, c *sparkloop.Client, o outbox.Options) outbox.Queue {
		t.Helper()
		q, err := sqliteoutbox.Open(t.Context(), filepath.Join(t.TempDir(), "sparkloop.db"), c, o)
		require.NoError(t, err)
		return q
	}}
}

// The full form takes three hours of the clock.
func TestChaosOfBrokenConversions(t *testing.T) {
	t.Parallel()
	healthy, counts := 15, []int{100}
	if os.Getenv("SPARKLOOP_CHAOS") == "full" {
		healthy, counts = 180, []int{0, 1, 5, 20, 100}
	}
	for where, offer := range chaos.Offers {
		for _, broken := range counts {
			t.Run(fmt.Sprint(broken, " ", where), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { simulation().BesideBroken(t, broken, healthy, offer) })
			})
		}
	}
}

func TestChaosOfABacklog(t *testing.T) {
	t.Parallel()
	all := 600
	if os.Getenv("SPARKLOOP_CHAOS") == "full" {
		all = 10_000 // three minutes on a busy machine
	}
	synctest.Test(t, func(t *testing.T) { simulation().Backlog(t, all) })
}
