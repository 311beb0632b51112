// Command sparkloop works with SparkLoop Action offers on the command line: it
// checks the key, lists the offers, confirms conversions that were missed,
// serves a fake SparkLoop to develop against, and looks into an outbox.
//
//	go install github.com/sparkloop-go/sparkloop/cmd/sparkloop@latest
//	sparkloop --help
//
// The API key is read from SPARKLOOP_API_KEY. SPARKLOOP_BASE_URL, if set,
// replaces SparkLoop's own address: with that of a proxy or of a fake.
//
// The exit code is 0 on success, 1 if something was refused, failed or is left
// to be done, and 2 for wrong usage or a key that is missing or rejected.
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
