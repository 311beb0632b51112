//go:build !unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// The signals of pg_ctl's stop modes do not exist on this system.
var immediate, fast = os.Kill, os.Interrupt

// account is the user that runs the server.
type account struct{}

func serverAccount() (*account, error) {
	return nil, fmt.Errorf("%w: PostgreSQL on %s: %w", ErrNotInstalled, runtime.GOOS, errors.ErrUnsupported)
}

func (*account) own(dir string) error { return nil }
func (*account) detach(cmd *exec.Cmd) {}
func tempDir(*account) string         { return "" }
