package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// api is the SparkLoop that the shop confirms at.
type api struct {
	client *sparkloop.Client
	fake   *sparklooptest.Server // nil with SparkLoop itself
}

// connect uses SparkLoop itself if there is a key, or else a fake.
func connect(ctx context.Context, getenv func(string) string, logger *slog.Logger) (*api, error) {
	if getenv("SPARKLOOP_API_KEY") == "" {
		fake, err := sparklooptest.Start()
		if err != nil {
			return nil, err
		}
		client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(fake.URL()))
		return &api{client, fake}, err
	}
	client, err := story.Connect(getenv)
	if err != nil {
		return nil, err
	}
	// A wrong key ends the program now, not at the first purchase. Any other error
	// may be gone in a moment: the shop opens.
	_, err = client.Offers.List(ctx, sparkloop.ListOffersParams{PerPage: 1})
	if errors.Is(err, sparkloop.ErrUnauthorized) {
		return nil, fmt.Errorf("%w\nSparkLoop rejects the key in SPARKLOOP_API_KEY. Without a key, the shop uses a fake SparkLoop", err)
	} else if err != nil {
		logger.Warn("SparkLoop does not answer; the shop opens", "error", err)
	}
	return &api{client, nil}, nil
}

func (a *api) close() {
	if a.fake != nil {
		a.fake.Close()
	}
}

// clickPath stands for the link in a newsletter. It belongs to the fake SparkLoop,
// not to the shop.
const clickPath = "/demo/click"

// playRedirect adds that link. It redirects the browser to the shop, with the two
// IDs in the URL.
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
Set this landing URL in the offer. For other people, use the host name of this
machine, with https:

   %s

`, home)
	} else {
		fmt.Fprintf(out, `
SparkLoop is a fake in this process. Open this link: it plays SparkLoop's redirect.

   click    %s

Then sign up, buy, and look at the status page.
`, home[:len(home)-1]+clickPath)
	}
	fmt.Fprintf(out, "Ctrl-C ends the shop.\n\n")
}
