package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sparkloop-go/sparkloop"
)

const (
	exitDone   = 0
	exitFailed = 1 // refused, failed, or left to be retried
	exitUsage  = 2 // wrong usage, or a missing or rejected key
)

// app is the environment of a command. Tests set all fields.
type app struct {
	getenv   func(string) string
	in       io.Reader
	out, err io.Writer
	opts     []sparkloop.Option
	wire     http.RoundTripper // of check, nil outside of tests
}

// failure is an error with an exit code. Any other error comes from cobra and
// is about usage.
type failure struct {
	code int
	err  error // nil if the message is already printed
}

func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func failed(err error) error { return &failure{exitFailed, err} }

func misused(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, a *app) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var f *failure
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &f):
		if f.err != nil {
			fmt.Fprintln(a.err, "sparkloop:", f.err)
		}
		return f.code
	}
	fmt.Fprintf(a.err, "sparkloop: %v\nRun \"sparkloop --help\" for usage.\n", err)
	return exitUsage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sparkloop",
		Short: "Work with SparkLoop Action offers",
		Long: `Work with SparkLoop Action offers: check the key, list the offers, confirm missed
conversions, serve a fake SparkLoop, and inspect an outbox.

This is not a product of SparkLoop and not affiliated with it.

Environment:
  SPARKLOOP_API_KEY    the API key
  SPARKLOOP_BASE_URL   overrides SparkLoop's address, for example for
                       "sparkloop fake"

Exit codes:
  0   success
  1   a conversion was refused or must be retried, or a call failed
  2   wrong usage, or the key is missing or rejected`,
		Version:       version(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(a.checkCommand(), a.offersCommand(), a.confirmCommand(), a.fakeCommand(), a.queueCommand(), a.schemaCommand())
	return root
}

// group turns a command into a group of subcommands, and returns a usage error
// without one of them.
func group(c *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	c.Args = cobra.NoArgs
	c.RunE = func(*cobra.Command, []string) error { return fmt.Errorf("%s: give a command", c.CommandPath()) }
	c.AddCommand(commands...)
	return c
}

// version returns the module's version, as recorded by the Go command.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// client returns a client with the key and the address from the environment.
func (a *app) client(opts ...sparkloop.Option) (*sparkloop.Client, error) {
	key, base := a.getenv("SPARKLOOP_API_KEY"), a.getenv("SPARKLOOP_BASE_URL")
	if key == "" {
		return nil, misused("no API key: set SPARKLOOP_API_KEY")
	}
	all := append([]sparkloop.Option{sparkloop.WithUserAgent("sparkloop-cli/" + agentVersion(version()))}, a.opts...)
	if base != "" {
		all = append(all, sparkloop.WithBaseURL(base))
	}
	c, err := sparkloop.New(key, append(all, opts...)...)
	if err != nil {
		return nil, &failure{exitUsage, err}
	}
	return c, nil
}

// agentVersion returns v without the parentheses of "(devel)", which begin a
// comment in a User-Agent.
func agentVersion(v string) string {
	if v == "(devel)" {
		return "devel"
	}
	return v
}

// apiFailure returns err with advice and an exit code.
func apiFailure(err error) error {
	code := exitFailed
	if errors.Is(err, sparkloop.ErrUnauthorized) || errors.Is(err, sparkloop.ErrNoTracking) || errors.Is(err, sparkloop.ErrInvalidTracking) {
		code = exitUsage
	}
	return &failure{code, fmt.Errorf("%w\n%s", err, advice(err))}
}

// advice returns what the user can do about an error of a call.
func advice(err error) string {
	wait, asked := sparkloop.RetryAfter(err)
	switch {
	case errors.Is(err, context.Canceled):
		return "Interrupted."
	case errors.Is(err, sparkloop.ErrNoTracking), errors.Is(err, sparkloop.ErrInvalidTracking):
		return "Nothing was sent. An ID has 1 to 128 letters, digits, underscores and hyphens."
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return "SparkLoop rejects the API key: correct SPARKLOOP_API_KEY."
	case asked && wait > 0:
		return fmt.Sprintf("SparkLoop requests a pause: try again in %s.", wait)
	case errors.Is(err, sparkloop.ErrRateLimited):
		return "Too many requests with this key: try again in a minute."
	case errors.Is(err, sparkloop.ErrEndpointNotFound), errors.Is(err, sparkloop.ErrUnexpectedResponse):
		return "The answer is not from SparkLoop's API: check SPARKLOOP_BASE_URL, and proxies and firewalls on the way."
	case errors.Is(err, sparkloop.ErrOfferNotFound), errors.Is(err, sparkloop.ErrSubmissionNotFound):
		return "Compare the two IDs with the landing URL, and the offer with \"sparkloop offers\"."
	case errors.Is(err, sparkloop.ErrNotActionOffer):
		return "Only conversions of Action offers are confirmed: \"sparkloop offers\" shows the types."
	case sparkloop.Retryable(err):
		return "This may pass: check the network, and try again later. Repeating is safe."
	}
	return "This answer is final. Contact SparkLoop's support."
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
