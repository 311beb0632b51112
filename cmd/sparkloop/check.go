package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkloop-go/sparkloop"
)

// skewMost is the largest tolerated difference to the server's clock.
const skewMost = time.Minute

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the key, the address, the clock and the offers",
		Long: `Check whether SparkLoop accepts the key, which published address answers, whether
the clock is right, and whether there are Action offers. Each failure comes with a
remedy. The exit code is 0 only if every check passes.

It only reads the list of offers. It never confirms anything.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context()) },
	}
}

func (a *app) check(ctx context.Context) error {
	seen := newWitness()
	if a.wire != nil {
		seen.next = a.wire
	}
	client, err := a.client(sparkloop.WithRetries(1), sparkloop.WithHTTPClient(&http.Client{Transport: seen}))
	if err != nil {
		return err
	}
	var offers []sparkloop.Offer
	for offer, e := range client.Offers.All(ctx) {
		if err = e; err != nil {
			break
		}
		offers = append(offers, offer)
	}
	r := &findings{table: newTable(a.out)}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	r.key(err)
	r.address(seen, cmp.Or(a.getenv("SPARKLOOP_BASE_URL"), "https://api.sparkloop.app"), err)
	r.clock(seen)
	r.offers(offers, err)
	r.table.Render()
	for _, o := range offers {
		fmt.Fprintf(a.out, "  %s\n", strings.Join([]string{
			printable(o.UUID, maxID), printable(string(o.ConversionType), maxWord), printable(o.Status, maxWord), printable(o.Name, maxName),
		}, "  "))
	}
	switch {
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return &failure{exitUsage, nil}
	case r.bad:
		return failed(nil)
	}
	return nil
}

// witness records the answers to a client's requests.
type witness struct {
	next http.RoundTripper

	mu      sync.Mutex
	sent    int
	answers []answer
}

type answer struct {
	base   string // the request's address before the resource
	status int
	json   bool
	date   time.Time // the server's clock, zero if unknown
	at     time.Time // our clock, in the middle of the exchange
}

func newWitness() *witness {
	return &witness{next: &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme == "http" {
				return nil, nil // a proxy must not receive the key unencrypted
			}
			return http.ProxyFromEnvironment(r)
		},
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		ForceAttemptHTTP2:     true,
	}}
}

// RoundTrip implements [http.RoundTripper].
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	begun := time.Now()
	resp, err := w.next.RoundTrip(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	if err != nil {
		return resp, err
	}
	base, _, _ := strings.Cut(r.URL.Scheme+"://"+r.URL.Host+r.URL.EscapedPath(), "/offers")
	date, _ := http.ParseTime(resp.Header.Get("Date")) // zero if there is none
	w.answers = append(w.answers, answer{
		base: base, status: resp.StatusCode, date: date, at: begun.Add(time.Since(begun) / 2),
		json: strings.Contains(resp.Header.Get("Content-Type"), "json"),
	})
	return resp, nil
}
