package pgtest

import (
	"context"
	"fmt"
	"io"
	"os/exec"
)

// guard is a shell that ends the server and removes the folder if this process
// ends without dismiss: the shell then reads the end of its pipe. Unlike
// Linux's Pdeathsig it works on every Unix, does not depend on a thread, and
// cleans up. A negative number in postmaster.pid is not a postmaster's. The
// file is removed once the server has ended.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

const guardScript = `
read -r line && exit
PATH=$PATH:/usr/bin:/bin
pidfile=$1/data/postmaster.pid
if read -r pid <"$pidfile"; then
	case $pid in
	'' | *[!0-9]*) ;;
	*)
		kill -QUIT "$pid"
		tries=0
		while [ -e "$pidfile" ] && [ $tries -lt 100 ]; do
			sleep 0.1
			tries=$((tries + 1))
		done
		;;
	esac
fi
rm -rf "$1"
`

func (c *Cluster) watch(ctx context.Context) (*guard, error) {
	cmd := c.command(context.WithoutCancel(ctx), "/bin/sh", "-c", guardScript, "sh", c.dir)
	cmd.Dir = "/"
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return &guard{cmd, pipe}, nil
}

// dismiss ends the guard without a cleanup. A guard that was killed needs
// nothing.
func (g *guard) dismiss() {
	io.WriteString(g.pipe, "\n") //nolint:errcheck // see above
	g.pipe.Close()
	g.cmd.Wait() //nolint:errcheck // see above
}
