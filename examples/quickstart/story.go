package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/sqliteoutbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// tell plays one reader after the other.
func tell(s *story.Story) {
	annual := s.API.AddOffer(sparkloop.Offer{UUID: "offer_5678efgh", Name: "Annual plan", ConversionEvent: "purchase", CPA: 12_500_000})
	lead := s.API.AddOffer(sparkloop.Offer{UUID: "offer_9abcijkl", Name: "Whitepaper", ConversionType: sparkloop.ConversionLead, CPA: 900_000})

	queue := story.Must(sqliteoutbox.Open(s.Ctx, filepath.Join(s.TempDir(), "sparkloop.db"), s.Client, outbox.Options{
		RetryMin: 50 * time.Millisecond, // default 5 s
		Logger:   slog.New(slog.DiscardHandler),
	}))
	s.Cleanup(func() error { return queue.Close(context.WithoutCancel(s.Ctx)) })
	keep := story.Must(capture.New(capture.Options{Enqueued: outbox.Enqueued(queue)}))
	shop := &shop{queue: queue, capture: keep, users: map[string]user{}}
	server := httptest.NewServer(shop.handler())
	s.Cleanup(func() error { server.Close(); return nil })

	// click is a new reader who clicks, lands and signs up.
	click := func(offer, email string) *story.Visitor {
		v := s.Visitor()
		v.Click(offer, server.URL+"/welcome?utm_source=newsletter").OK()
		v.Submit(server.URL+"/signup", url.Values{"email": {email}}).OK()
		return v
	}
	buy := func(v *story.Visitor, email string) {
		a := v.Submit(server.URL+"/buy", url.Values{"email": {email}}).OK()
		s.Printf("   the checkout took %s\n", a.Took)
	}

	s.Printf("\nSparkLoop Action offers, from click to confirmation.\nEverything here runs on this machine: a fake SparkLoop, a shop, and its readers.\n")
	s.Step("The offers of the account")
	for offer, err := range s.Client.Offers.All(s.Ctx) {
		story.Check(err)
		s.Printf("   %-15s %-12s %-7s %-9s %8s\n", offer.UUID, offer.Name, offer.ConversionType, offer.ConversionEvent, offer.CPA)
	}

	s.Step("A reader clicks, and SparkLoop sends the browser to the shop")
	first := click(sparklooptest.DefaultOffer, "first@example.com")
	s.Printf("   %s\n", first.Landing)

	s.Step("The shop stores the two IDs: in the visitor's cookie and in the user's row")
	row := shop.user("first@example.com")
	s.Printf("   offer       %s\n   submission  %s\n   confirm by  %s, 45 days from now\n",
		row.Tracking.Offer, row.Tracking.Submission, row.Tracking.ExpiresAt().Format("2 January 2006"))

	s.Step("The reader buys. The conversion goes into a file, and from there to SparkLoop")
	buy(first, "first@example.com")
	s.Settled(queue, first.Tracking)

	s.Step("The reader presses the button twice. The queue knows the conversion: nothing is sent")
	before := len(s.API.Requests())
	buy(first, "first@example.com")
	stats := story.Must(queue.Stats(s.Ctx))
	s.Printf("   %d confirmed, %d pending, %d more requests\n", stats.Confirmed, stats.Pending, len(s.API.Requests())-before)

	s.Step("Next month the reader clicks again and buys again: that is a new conversion")
	first.Click("", server.URL+"/welcome").OK()
	buy(first, "first@example.com")
	s.Settled(queue, first.Tracking)

	s.Step("SparkLoop is down, and two more readers buy. Their checkouts do not wait")
	s.API.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
	second, third := click("", "second@example.com"), click("", "third@example.com")
	buy(second, "second@example.com")
	buy(third, "third@example.com")
	s.Printf("   … %d pending, the queue pauses and sends a probe now and then\n", s.Paused(queue).Pending)
	s.API.Fail(sparklooptest.Fault{}, 0)
	s.Printf("   SparkLoop is back\n")
	s.Settled(queue, second.Tracking, third.Tracking)

	s.Step("SparkLoop confirms, but its answer is lost on the way")
	fourth := click(annual.UUID, "fourth@example.com")
	before = len(s.API.Requests())
	s.API.Fail(sparklooptest.LostAnswer(), 1)
	buy(fourth, "fourth@example.com")
	s.Settled(queue, fourth.Tracking)
	s.Printf("   the queue sent it %d times. The last answer means: already confirmed. It counts once\n", len(s.API.Requests())-before)

	s.Step("A reader comes through a Lead offer, which has nothing to confirm")
	fifth := click(lead.UUID, "fifth@example.com")
	buy(fifth, "fifth@example.com")
	s.Settled(queue, fifth.Tracking)

	s.Printf("\nThat is all. The shop's code is examples/quickstart/shop.go.\n" +
		"With your key, SPARKLOOP_API_KEY=... go run ./examples/quickstart lists your offers.\n\n")
}
