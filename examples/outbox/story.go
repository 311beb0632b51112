package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// tell plays what can happen to a conversion.
func tell(s *story.Story) {
	dir := s.TempDir()
	var p *program
	var home string
	// start runs the program, as main does with a key. stop ends it.
	start := func() (stop func()) {
		listener := story.Must(net.Listen("tcp", "127.0.0.1:0"))
		p = story.Must(open(s.Ctx, dir, s.Client, "story", outbox.Options{
			RetryMin: 50 * time.Millisecond, // default 5 s
			Logger:   slog.New(slog.DiscardHandler),
		}))
		home = "http://" + listener.Addr().String()
		ctx, cancel := context.WithCancel(s.Ctx)
		ended := make(chan error, 1)
		go func() { ended <- p.serve(ctx, listener) }()
		s.Cleanup(func() error { cancel(); <-ended; return nil }) //nolint:errcheck // the story has ended
		return func() { cancel(); err := <-ended; close(ended); story.Check(err) }
	}
	// buys has a new reader click, land and buy.
	buys := func() sparkloop.Tracking {
		v := s.Visitor()
		v.Click("", home+"/").OK()
		answer := v.Submit(home+"/buy", url.Values{"item": {"notebook"}}).OK()
		s.Printf("   the checkout took %s\n", answer.Took)
		return v.Tracking
	}

	s.Printf("\nOrders are in orders.db, which stands for any database. Conversions are in sparkloop.db,\n" +
		"until SparkLoop has confirmed them. SparkLoop is a fake in this process.\n")
	stop := start()
	s.Step("A reader clicks, lands and buys. The checkout waits for two files, not for SparkLoop")
	s.Settled(p.queue, buys())

	s.Step("SparkLoop is down, and three readers buy")
	s.API.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
	bought := []sparkloop.Tracking{buys(), buys(), buys()}
	stats := s.Paused(p.queue)
	s.Printf("   … %d pending, the queue has paused: %s\n   SparkLoop is back\n", stats.Pending, stats.PausedReason)
	s.API.Fail(sparklooptest.Fault{}, 0)
	s.Settled(p.queue, bought...)

	s.Step("The program is killed after the commit of an order and before Enqueue")
	_, tracking := s.API.Click("", home+"/")
	id := story.Must(place(s.Ctx, p.db, "notebook", tracking))
	_, found, err := p.queue.Lookup(s.Ctx, tracking)
	story.Check(err)
	stop()
	s.Printf("   order %d is in orders.db; its conversion is in the queue: %t\n", id, found)
	s.Printf("   the program starts again. Its queue calls Source, which reads the orders of the last 45 days\n")
	stop = start()
	s.Until(func() (_ bool, err error) {
		stats, err = p.queue.Stats(s.Ctx)
		return stats.Swept > 0, err
	})
	s.Printf("   … Source found %d missing conversion\n", stats.Swept)
	s.Settled(p.queue, tracking)

	s.Step("Somebody makes up a submission in the landing URL")
	v := s.Visitor()
	v.Open(home + "/?offer=" + sparklooptest.DefaultOffer + "&submission=made_up").OK()
	v.Submit(home+"/buy", url.Values{"item": {"notebook"}}).OK()
	s.Settled(p.queue, sparkloop.Tracking{Offer: sparklooptest.DefaultOffer, Submission: "made_up"})

	s.Step("The figures, behind the application's own sign-in")
	for _, path := range []string{"/metrics", "/status?format=json"} {
		page := s.Visitor().Open(strings.Replace(home, "//", "//admin:story@", 1) + path)
		s.Printf("   GET %s: %s\n", path, page.Status)
		for line := range strings.Lines(page.Body) {
			if !strings.HasPrefix(line, "# ") { // Prometheus' explanations
				s.Printf("     %.90s\n", strings.TrimSpace(line))
			}
		}
	}

	s.Step("The end: first the HTTP server closes, then the queue, then the database")
	stop()
	s.Printf("   closed; the next process delivers what is still pending\n\n" +
		"The purchase is in examples/outbox/shop.go. With your key, SPARKLOOP_API_KEY=... go run ./examples/outbox\n" +
		"serves the shop.\n\n")
}
