// Command sparkloop works with SparkLoop Action offers on the command line. It
// checks the key, lists the offers, confirms missed conversions, serves a fake
// SparkLoop to develop against, and inspects an outbox.
//
//	go install github.com/sparkloop-go/sparkloop/cmd/sparkloop@latest
//	sparkloop --help
//
// The API key is read from SPARKLOOP_API_KEY. SPARKLOOP_BASE_URL overrides
// SparkLoop's address, for example with that of a proxy or a fake.
//
// The exit code is 0 on success, and 1 if a conversion was refused or is still to
// be tried, or a call failed. It is 2 for wrong usage, or if the key is missing
// or rejected.
//
// It is not a product of SparkLoop and not affiliated with it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], &app{getenv: os.Getenv, in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
