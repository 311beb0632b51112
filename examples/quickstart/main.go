// Command quickstart shows the life of a SparkLoop conversion in a few seconds,
// with no key and no network.
//
// Copy shop.go: a shop that captures the click, stores it with the user, and
// enqueues the conversion at the purchase. The rest tells a story with it:
//
//	go run ./examples/quickstart
//
// SparkLoop is a fake in this process, and the queue is a file in a
// temporary folder.
//
// With SPARKLOOP_API_KEY set, the program lists the offers of that account
// instead. It confirms nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
)

func main() {
	story.Main("quickstart", func(ctx context.Context) error { return run(ctx, os.Getenv, os.Stdout) })
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	if getenv("SPARKLOOP_API_KEY") != "" {
		return showAccount(ctx, getenv, out)
	}
	return story.Tell(ctx, out, tell)
}

// showAccount lists the newest offers of a real account. It only reads: a
// confirmation costs money.
func showAccount(ctx context.Context, getenv func(string) string, out io.Writer) error {
	client, err := story.Connect(getenv)
	if err != nil {
		return err
	}
	page, err := client.Offers.List(ctx, sparkloop.ListOffersParams{PerPage: 20})
	if errors.Is(err, sparkloop.ErrUnauthorized) {
		return fmt.Errorf("%w\nSparkLoop rejects the key in SPARKLOOP_API_KEY. Without a key, the quickstart uses a fake SparkLoop", err)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe key works. The newest offers of the account:\n\n")
	for _, offer := range page.Offers {
		// In quotes: a name may hold control characters.
		fmt.Fprintf(out, "   %-42.40q  %-10.10q  %-14.20q  %8s  %q\n", offer.Name, offer.ConversionType, offer.ConversionEvent, offer.CPA, offer.UUID)
	}
	if len(page.Offers) == 0 {
		fmt.Fprintln(out, "   none yet")
	}
	fmt.Fprint(out, `
Next steps:
   go run ./cmd/sparkloop offers                    all offers, as a table
   go run ./cmd/sparkloop confirm OFFER SUBMISSION  confirms a conversion, for real
   examples/quickstart/shop.go                      how a shop captures and confirms

Nothing was confirmed. Without SPARKLOOP_API_KEY, this program shows the whole
flow against a fake SparkLoop.

`)
	return nil
}
