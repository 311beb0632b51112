// Command quickstart shows the whole life of a SparkLoop conversion in a few
// seconds, with no key and no network: a reader clicks in a newsletter, lands
// at a shop, signs up and buys, and the shop's outbox has it confirmed, through
// an outage and a lost answer too.
//
//	go run ./examples/quickstart
//
// SparkLoop is a fake one in this process; the shop in shop.go and its visitors
// talk over real HTTP on loopback, and the queue is a file in a temporary
// folder. With SPARKLOOP_API_KEY set it lists the
// offers of that account instead, and confirms nothing.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	if key := getenv("SPARKLOOP_API_KEY"); key != "" {
		return showAccount(ctx, key, getenv("SPARKLOOP_BASE_URL"), out)
	}
	return tellStory(ctx, out)
}
