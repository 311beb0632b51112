package story

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// Main runs a program until it ends or a signal stops it. A second Ctrl-C ends
// the process at once. [flag.ErrHelp] is a success.
func Main(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Flags returns an empty flag set. Its help prints the usage, the flags, and the
// environment variables.
func Flags(out io.Writer, name, usage, variables string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "usage: %s %s\n", name, usage)
		flags.PrintDefaults()
		if variables != "" {
			fmt.Fprintf(out, "environment variables:\n%s", variables)
		}
	}
	return flags
}

// Connect returns a client with the key and the base URL of the environment.
func Connect(getenv func(string) string) (*sparkloop.Client, error) {
	var opts []sparkloop.Option
	if base := getenv("SPARKLOOP_BASE_URL"); base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	return sparkloop.New(getenv("SPARKLOOP_API_KEY"), opts...)
}

// Serve serves until ctx ends, and then waits at most 10 s for the handlers.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if late := server.Shutdown(end); late != nil {
		err = errors.Join(err, late, server.Close())
	}
	return err
}
