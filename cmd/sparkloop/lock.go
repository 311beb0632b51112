package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockAll locks the files against a second run, until unlock is called or the
// process ends. It locks the file to read itself, if possible. The written
// files are replaced or appended to, so a hidden file beside each is locked. It
// is not removed.
func lockAll(read string, written ...string) (unlock func(), err error) {
	var held []*flock.Flock
	unlock = func() {
		for _, l := range held {
			_ = l.Close()
		}
	}
	try := func(path string, l *flock.Flock, must bool) error {
		switch ok, err := l.TryLock(); {
		case err != nil && must:
			return err
		case err == nil && !ok:
			return fmt.Errorf("%s is in use by another run: wait until it ends", path)
		case ok:
			held = append(held, l)
		}
		return nil
	}
	for _, path := range written {
		if path == "" {
			continue
		}
		beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock")
		if err := try(path, flock.New(beside, flock.SetPermissions(0o600)), true); err != nil {
			unlock()
			return nil, err
		}
	}
	if read != "" && read != stdin {
		if err := try(read, flock.New(read, flock.SetFlag(os.O_RDONLY)), false); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}
