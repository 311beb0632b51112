package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/sparkloop-go/sparkloop"
)

// showAccount lists the offers of a real account and says how to go on. It
// only reads: a confirmation is money.
func showAccount(ctx context.Context, key, base string, out io.Writer) error {
	var opts []sparkloop.Option
	if base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	client, err := sparkloop.New(key, opts...)
	if err != nil {
		return err
	}
	page, err := client.Offers.List(ctx, sparkloop.ListOffersParams{PerPage: 20})
	if errors.Is(err, sparkloop.ErrUnauthorized) {
		return fmt.Errorf("%w\nSparkLoop does not accept the key in SPARKLOOP_API_KEY. Without it, the quickstart runs with a fake SparkLoop", err)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe key works. The newest offers of the account:\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, offer := range page.Offers {
		// In quotes: a name may hold anything.
		fmt.Fprintf(table, "   %.40q\t%.10q\t%.20q\t%s\t%q\n", offer.Name, offer.ConversionType, offer.ConversionEvent, offer.CPA, offer.UUID)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(page.Offers) == 0 {
		fmt.Fprintln(out, "   none yet")
	}
	fmt.Fprint(out, `
To go on:
   go run ./cmd/sparkloop offers                    all of them, as a table
   go run ./cmd/sparkloop confirm OFFER SUBMISSION  confirm a conversion by hand; this one counts
   examples/quickstart/shop.go                      what a shop does to capture and confirm

Nothing was confirmed here. To see the whole flow against a fake SparkLoop, run
this without SPARKLOOP_API_KEY.

`)
	return nil
}
