// Command listoffers prints the account's offers. Only conversions of offers of
// the type action are confirmed.
//
//	SPARKLOOP_API_KEY=... go run ./examples/listoffers
//
// For a table, CSV or JSON, and for a program to install, see cmd/sparkloop.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sparkloop-go/sparkloop"
)

func main() {
	client, err := sparkloop.New(os.Getenv("SPARKLOOP_API_KEY"))
	if err == nil {
		err = list(context.Background(), client, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func list(ctx context.Context, client *sparkloop.Client, w io.Writer) error {
	for offer, err := range client.Offers.All(ctx) {
		if err != nil {
			return err // once, and last
		}
		// The name is quoted: a terminal would obey what is in it.
		fmt.Fprintf(w, "%s  %-6s  %s  %q\n", offer.UUID, offer.ConversionType, offer.CPA, offer.Name)
	}
	return nil
}
