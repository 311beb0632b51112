package riveroutbox

import (
	"flag"
	"os"
	"testing"

	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/chaos"
)

// TestMain allows more parallel tests than processors: they mostly wait for the
// database. It also starts the processes of TestChaos.
func TestMain(m *testing.M) {
	if chaos.Process(engine) {
		return
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", "8") //nolint:errcheck // it is a number
	}
	os.Exit(m.Run())
}
