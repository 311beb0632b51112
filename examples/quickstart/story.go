package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// story is the stage: a SparkLoop, a shop and a newsletter that links to it.
type story struct {
	api        *sparklooptest.Server
	client     *sparkloop.Client
	dir        string // for the queue's file
	queue      outbox.Queue
	shop       *shop
	site       *site
	newsletter *site
	lead       sparkloop.Offer

	out io.Writer
	n   int // of the last step

	mu       sync.Mutex // the shop's handlers report while the story waits
	captured sparkloop.Tracking
}

// tellStory plays one reader after the other and prints what happens.
func tellStory(ctx context.Context, out io.Writer) error {
	s, err := stage(ctx, out)
	if err != nil {
		return errors.Join(err, s.close())
	}
	s.printf("\nSparkLoop Action offers, from click to confirmation.\nEverything here runs on this machine: a fake SparkLoop, a shop, and its readers.\n")
	for _, scene := range []func(context.Context) error{s.offers, s.purchase, s.outage, s.lostAnswer, s.refused} {
		if err := scene(ctx); err != nil {
			return errors.Join(err, s.close())
		}
	}
	s.printf("\nThat is all there is to it. The shop's side is examples/quickstart/shop.go.\n" +
		"With your key, SPARKLOOP_API_KEY=... go run ./examples/quickstart lists your own offers.\n\n")
	return s.close()
}

func stage(ctx context.Context, out io.Writer) (*story, error) {
	s := &story{out: out}
	var err error
	if s.api, err = sparklooptest.Start(); err != nil {
		return s, err
	}
	s.api.AddOffer(sparkloop.Offer{UUID: "offer_5678efgh", Name: "Annual plan", ConversionEvent: "purchase", CPA: 12_500_000})
	s.lead = s.api.AddOffer(sparkloop.Offer{UUID: "offer_9abcijkl", Name: "Whitepaper", ConversionType: sparkloop.ConversionLead, CPA: 900_000})

	s.client, err = sparkloop.New(sparklooptest.APIKey,
		sparkloop.WithBaseURL(s.api.URL()),
		sparkloop.WithRateLimit(0, 0), // a dozen requests need no pacing, which takes half a second for each
	)
	if err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "quickstart-*"); err != nil {
		return s, err
	}
	s.queue, err = sqliteoutbox.Open(ctx, filepath.Join(s.dir, "sparkloop.db"), s.client, outbox.Options{
		RetryMin: 50 * time.Millisecond, // the fake one is back soon
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return s, err
	}
	keep, err := capture.New(capture.Options{OnCapture: s.onCapture})
	if err != nil {
		return s, err
	}
	s.shop = &shop{queue: s.queue, capture: keep, users: make(map[string]sparkloop.Tracking)}
	if s.site, err = serve(s.shop.handler()); err != nil {
		return s, err
	}
	s.newsletter, err = serve(http.HandlerFunc(s.click))
	return s, err
}

// close ends what is there: first those who enqueue, then the queue.
func (s *story) close() error {
	for _, site := range []*site{s.newsletter, s.site} {
		if site != nil {
			site.close()
		}
	}
	var err error
	if s.queue != nil {
		err = s.queue.Close(context.Background())
	}
	if s.api != nil {
		s.api.Close()
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func (s *story) onCapture(_ *http.Request, t sparkloop.Tracking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.captured = t
}

// click is SparkLoop's link in a newsletter: it notes the click and sends the
// browser on to the shop, with the two ids added.
func (s *story) click(w http.ResponseWriter, r *http.Request) {
	redirect, _ := s.api.Click(r.FormValue("to"), s.site.url+"/welcome?utm_source=newsletter")
	http.Redirect(w, r, redirect, http.StatusFound)
}
