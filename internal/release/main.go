// Command release does the steps of a release that read this repository's
// modules. The scripts .ci/release and .ci/release-check call it.
//
//	release modules            list the released modules, dependencies first
//	release prepare VERSION [TAG...]
//	                           set VERSION in all modules and the changelog;
//	                           it must be above the versions of the tags
//	release detach             remove replace from the modules with a command
//	release proxy VERSION DIR  write the released modules as a module proxy
//
// The flag -C sets the repository's folder. Default: the current folder. The
// command uses neither git nor the network.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer, now time.Time) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	root := flags.String("C", ".", "the `folder` of the repository")
	if err := flags.Parse(args); err != nil {
		return err
	}
	modules, err := load(*root)
	if err != nil {
		return err
	}
	args = flags.Args()
	switch {
	case len(args) == 1 && args[0] == "modules":
		released, err := modules.released()
		for _, m := range released {
			fmt.Fprintln(out, m.folder)
		}
		return err
	case len(args) >= 2 && args[0] == "prepare":
		return modules.prepare(args[1], args[2:], now)
	case len(args) == 1 && args[0] == "detach":
		return modules.detach()
	case len(args) == 3 && args[0] == "proxy":
		return modules.writeProxy(args[1], args[2])
	}
	return errors.New("usage: release [-C folder] modules | prepare VERSION [TAG...] | detach | proxy VERSION DIR")
}
