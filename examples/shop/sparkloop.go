package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// api is the SparkLoop that the shop confirms at.
type api struct {
	client *sparkloop.Client
	fake   *sparklooptest.Server // nil if it is the real one
}

// connect takes the real one if there is a key.
func connect(ctx context.Context, getenv func(string) string, logger *slog.Logger) (*api, error) {
	key := getenv("SPARKLOOP_API_KEY")
	if key == "" {
		fake, err := sparklooptest.Start()
		if err != nil {
			return nil, err
		}
		client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(fake.URL()))
		return &api{client, fake}, err
	}
	var opts []sparkloop.Option
	if base := getenv("SPARKLOOP_BASE_URL"); base != "" {
		opts = append(opts, sparkloop.WithBaseURL(base))
	}
	client, err := sparkloop.New(key, opts...)
	if err != nil {
		return nil, err
	}
	// A wrong key is better noticed now than at the first purchase. Any other
	// trouble may pass, and is no reason to keep a shop closed.
	_, err = client.Offers.List(ctx, sparkloop.ListOffersParams{PerPage: 1})
	if errors.Is(err, sparkloop.ErrUnauthorized) {
		return nil, fmt.Errorf("%w\nSparkLoop does not accept the key in SPARKLOOP_API_KEY. Without it, the shop runs with a fake SparkLoop", err)
	} else if err != nil {
		logger.Warn("SparkLoop does not answer now; the shop opens all the same", "error", err)
	}
	return &api{client, nil}, nil
}

func (a *api) close() {
	if a.fake != nil {
		a.fake.Close()
	}
}

// clickPath stands for the link in a newsletter. It is the fake SparkLoop's, no
// part of the shop.
const clickPath = "/demo/click"

// playRedirect adds that link: it notes a click and sends the browser on to the
// shop, with the two ids in the URL.
func (a *api) playRedirect(mux *http.ServeMux, landing string) {
	if a.fake == nil {
		return
	}
	mux.HandleFunc("GET "+clickPath, func(w http.ResponseWriter, r *http.Request) {
		redirect, _ := a.fake.Click("", landing+"?utm_source=newsletter")
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, redirect, http.StatusFound)
	})
}

func (a *api) introduce(out io.Writer, home string) {
	fmt.Fprintf(out, "\nThe shop is open.\n\n   shop     %s\n   status   %sstatus\n", home, home)
	if a.fake == nil {
		fmt.Fprintf(out, `
SPARKLOOP_API_KEY is set: purchases are confirmed at SparkLoop itself, and count.
Put this landing URL into the offer; for other people than you, with the name
under which they reach this machine, over https:

   %s

`, home)
	} else {
		fmt.Fprintf(out, `
SparkLoop is a fake one in this process. Open this link: it plays SparkLoop's redirect.

   click    %s

Then sign up, buy, and look at the status page.
`, home[:len(home)-1]+clickPath)
	}
	fmt.Fprintf(out, "Ctrl-C ends the shop.\n\n")
}
