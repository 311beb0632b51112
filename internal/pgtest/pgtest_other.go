//go:build !unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// What a postmaster takes for the modes of pg_ctl stop does not exist here.
var immediate, fast = os.Kill, os.Interrupt

// account is whom the server runs as.
type account struct{}

func serverAccount() (*account, error) {
	return nil, fmt.Errorf("%w: pgtest does not run it on %s: %w", ErrNotInstalled, runtime.GOOS, errors.ErrUnsupported)
}

func (*account) own(dir string) error { return nil }
func (*account) detach(cmd *exec.Cmd) {}
func tempDir(*account) string         { return "" }
