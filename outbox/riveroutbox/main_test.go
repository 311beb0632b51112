package riveroutbox

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/chaos"
)

// TestMain allows more parallel tests than processors: they mostly wait for the
// database. It also starts the processes of TestChaos. It skips the Example
// functions if PostgreSQL is not installed, except in CI.
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
	if err := pgtest.Installed(); errors.Is(err, pgtest.ErrNotInstalled) && os.Getenv("CI") != "true" && flag.Lookup("test.skip").Value.String() == "" {
		fmt.Println("the examples are skipped:", err)
		flag.Set("test.skip", "^Example") //nolint:errcheck // it is a pattern
	}
	os.Exit(m.Run())
}
