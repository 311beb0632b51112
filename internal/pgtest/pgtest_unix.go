//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Signals of pg_ctl's stop modes.
var immediate, fast os.Signal = syscall.SIGQUIT, syscall.SIGINT

// account is the user that runs the server; nil is the current user.
type account struct{ uid, gid int }

func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is our own
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("pgtest: user %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("pgtest: user %s: %w", name, err)
		}
		return &account{uid, gid}, nil
	}
	return nil, fmt.Errorf("pgtest: root may not run PostgreSQL, nor is there another user: %w", errors.Join(errs...))
}

// own makes the account the owner of a folder.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	return os.Chown(dir, a.uid, a.gid)
}

// detach makes a program run as the account, in its own session, which signals
// from the terminal do not reach.
func (a *account) detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// tempDir returns os.TempDir, or /tmp if the account cannot access it.
func tempDir(a *account) string {
	dir, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "/tmp"
	}
	for d := dir; a != nil; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil || info.Mode().Perm()&1 == 0 {
			return "/tmp"
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	return dir
}
