// Command listoffers prints the account's offers as a table: what a merchant
// needs to see which offer a conversion belongs to and whether it is an Action
// offer, the only type whose conversions are confirmed.
//
//	SPARKLOOP_API_KEY=... go run ./examples/listoffers
//
// SPARKLOOP_BASE_URL, if set, names another API than SparkLoop's own: a proxy,
// or a fake one for a trial. The exit code is 0, 1 if the offers could not be
// read, 2 if the key is missing or the command was used in another way.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/sparkloop-go/sparkloop"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the whole program. Tests give it options; main gives none.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer, opts ...sparkloop.Option) int {
	const failed, misused = 1, 2
	if len(args) > 0 {
		fmt.Fprintln(stderr, "usage: listoffers, with the API key in SPARKLOOP_API_KEY and no arguments")
		return misused
	}
	client, err := newClient(getenv, opts)
	if err != nil {
		fmt.Fprintln(stderr, "listoffers:", err)
		return misused
	}
	offers, broken := collect(client.Offers.All(ctx))
	if broken == nil || len(offers) > 0 {
		if err := printTable(stdout, offers, broken == nil); err != nil {
			fmt.Fprintln(stderr, "listoffers: write the table:", err)
			return failed
		}
	}
	if broken != nil {
		fmt.Fprintf(stderr, "listoffers: %v\n%s\n", broken, advice(broken))
		return failed
	}
	return 0
}

func newClient(getenv func(string) string, opts []sparkloop.Option) (*sparkloop.Client, error) {
	key := getenv("SPARKLOOP_API_KEY")
	if key == "" {
		return nil, errors.New("no API key: set SPARKLOOP_API_KEY")
	}
	if base := getenv("SPARKLOOP_BASE_URL"); base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	return sparkloop.New(key, opts...)
}

// collect reads all offers: the table's columns are as wide as their widest
// cell. After an error the offers that came before it are still worth showing.
func collect(all iter.Seq2[sparkloop.Offer, error]) ([]sparkloop.Offer, error) {
	var offers []sparkloop.Offer
	for offer, err := range all {
		if err != nil {
			return offers, err
		}
		offers = append(offers, offer)
	}
	return offers, nil
}

// advice says what a person can do about an error.
func advice(err error) string {
	wait, asked := sparkloop.RetryAfter(err)
	switch {
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return "SparkLoop does not accept the key: look at SPARKLOOP_API_KEY."
	case asked && wait > 0:
		return fmt.Sprintf("SparkLoop asks to wait: try again in %s.", wait)
	case errors.Is(err, sparkloop.ErrRateLimited):
		return "Too many requests with this key: try again in a minute."
	case errors.Is(err, sparkloop.ErrEndpointNotFound), errors.Is(err, sparkloop.ErrUnexpectedResponse):
		return "Something else than SparkLoop's API answered: look at SPARKLOOP_BASE_URL and at proxies on the way."
	case sparkloop.Retryable(err):
		return "This may pass: look at the network, and try again later."
	}
	return "SparkLoop will not answer otherwise the next time: its support can say more."
}
