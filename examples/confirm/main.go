// Command confirm tells SparkLoop of conversions: of one, or of a list of those
// that were missed. SparkLoop takes a conversion for 45 days after the click,
// so whatever went wrong in that time can be made good.
//
//	go run ./examples/confirm OFFER SUBMISSION
//	go run ./examples/confirm [-retry FILE] [-refused FILE] [-journal FILE] - < missed.csv
//
// A line of the list is what Tracking.Encode wrote, or CSV: offer, submission,
// and any further columns, which are kept but not looked at. A header line is
// not needed. Calls are paced by the client: 120 a minute.
//
// # Nothing is lost
//
// The journal notes every conversion that SparkLoop has answered for good, as
// soon as it has. Started again with the same list, key and API, after Ctrl-C,
// a crash or a power cut, the command goes on where it was. At worst it repeats a call,
// which is safe: SparkLoop counts a conversion once. For the same reason the
// journal may be deleted at any time; then everything is asked again, also
// what was refused.
//
// What is to be tried again ends in the retry file, line by line as it came,
// ready to be the next list. What SparkLoop refused for good, and lines that
// cannot be read, end in the refused file with the reason, for a person to
// look at. Both keep what earlier runs left in them until it is settled; a line
// that cannot be read stays in the refused file until somebody deletes it.
//
// The exit code is 0 if all is confirmed, 1 if anything is refused or left to
// be tried again, 2 for wrong usage or a missing key, 130 if a signal stopped
// it. go run makes a 1 of all but 0: for a script, go build it first.
//
// The key comes from SPARKLOOP_API_KEY. SPARKLOOP_BASE_URL, if set, names
// another API than SparkLoop's own: a proxy, or a fake one for a trial.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sparkloop-go/sparkloop"
)

const (
	exitDone        = 0
	exitIncomplete  = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. Tests give it options; main gives none.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer, opts ...sparkloop.Option) int {
	var paths files
	flags := newFlags(&paths, stderr)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitDone
	} else if err != nil {
		return exitUsage
	}
	one := flags.NArg() == 2
	if !one && (flags.NArg() != 1 || flags.Arg(0) != "-") {
		flags.Usage()
		return exitUsage
	}
	key, base := getenv("SPARKLOOP_API_KEY"), getenv("SPARKLOOP_BASE_URL")
	client, err := newClient(key, base, opts)
	if err != nil {
		fmt.Fprintln(stderr, "confirm:", err)
		return exitUsage
	}
	if one {
		t := sparkloop.Tracking{Offer: flags.Arg(0), Submission: flags.Arg(1)}
		return confirmOne(ctx, client, t, stdout, stderr)
	}
	l := list{client: client, paths: paths, scope: scope(base, key), stdout: stdout, stderr: stderr}
	return l.run(ctx, stdin)
}

func newFlags(paths *files, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("confirm", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&paths.retry, "retry", "sparkloop-retry.csv", "`file` for what is to be tried again")
	flags.StringVar(&paths.refused, "refused", "sparkloop-refused.csv", "`file` for what was refused, with the reasons")
	flags.StringVar(&paths.journal, "journal", "sparkloop-confirm.journal", "`file` that remembers what is done")
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: confirm OFFER SUBMISSION\n"+
			"       confirm [flags] -     for a list on standard input, of lines\n"+
			"                             offer,submission or v1.<offer>.<submission>.<time>\n")
		flags.PrintDefaults()
	}
	return flags
}

func newClient(key, base string, opts []sparkloop.Option) (*sparkloop.Client, error) {
	if key == "" {
		return nil, errors.New("no API key: set SPARKLOOP_API_KEY")
	}
	if base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	return sparkloop.New(key, opts...)
}

// confirmOne needs no files: whoever called it sees what came of it.
func confirmOne(ctx context.Context, client *sparkloop.Client, t sparkloop.Tracking, stdout, stderr io.Writer) int {
	confirmation, err := client.Conversions.Confirm(ctx, t)
	switch {
	case err == nil && confirmation.AlreadyConfirmed:
		fmt.Fprintf(stdout, "%s was confirmed before\n", t.Key())
		return exitDone
	case err == nil:
		fmt.Fprintf(stdout, "%s is confirmed\n", t.Key())
		return exitDone
	}
	fmt.Fprintf(stderr, "confirm: %v\n%s\n", err, advice(err))
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case t.Validate() != nil:
		return exitUsage
	}
	return exitIncomplete
}
