package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// story is the stage: a SparkLoop, a shop and a newsletter that links to it.
type story struct {
	api        *sparklooptest.Server
	shop       *shop
	site       *site
	newsletter *site
	lead       sparkloop.Offer

	out io.Writer
	n   int // of the last step

	mu       sync.Mutex // the shop's handlers report while the story waits
	captured sparkloop.Tracking
	bought   outcome
}

// outcome is what came of a confirmation.
type outcome struct {
	confirmation *sparkloop.Confirmation
	err          error
}

// tellStory plays one reader after the other and prints what happens.
func tellStory(ctx context.Context, out io.Writer) error {
	s, err := stage(out)
	if err != nil {
		return err
	}
	defer s.close()
	s.printf("\nSparkLoop Action offers, from click to confirmation.\nEverything here runs on this machine: a fake SparkLoop, a shop, and its readers.\n")
	for _, scene := range []func(context.Context) error{s.offers, s.purchase, s.lostAnswer, s.refused} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	s.printf("\nThat is all there is to it. The shop's side is examples/quickstart/shop.go.\n" +
		"With your key, SPARKLOOP_API_KEY=... go run ./examples/quickstart lists your own offers.\n\n")
	return nil
}

func stage(out io.Writer) (*story, error) {
	api, err := sparklooptest.Start()
	if err != nil {
		return nil, err
	}
	s := &story{api: api, out: out}
	api.AddOffer(sparkloop.Offer{UUID: "offer_5678efgh", Name: "Annual plan", ConversionEvent: "purchase", CPA: 12_500_000})
	s.lead = api.AddOffer(sparkloop.Offer{UUID: "offer_9abcijkl", Name: "Whitepaper", ConversionType: sparkloop.ConversionLead, CPA: 900_000})

	client, err := sparkloop.New(sparklooptest.APIKey,
		sparkloop.WithBaseURL(api.URL()),
		sparkloop.WithBackoff(10*time.Millisecond, 100*time.Millisecond), // the fake one is back at once
	)
	if err != nil {
		s.close()
		return nil, err
	}
	keep, err := capture.New(capture.Options{OnCapture: s.onCapture})
	if err != nil {
		s.close()
		return nil, err
	}
	s.shop = &shop{sparkloop: client, capture: keep, users: make(map[string]sparkloop.Tracking), onConfirm: s.onConfirm}
	if s.site, err = serve(s.shop.handler()); err != nil {
		s.close()
		return nil, err
	}
	if s.newsletter, err = serve(http.HandlerFunc(s.click)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *story) close() {
	for _, site := range []*site{s.site, s.newsletter} {
		if site != nil {
			site.close()
		}
	}
	s.api.Close()
}

func (s *story) onCapture(_ *http.Request, t sparkloop.Tracking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.captured = t
}

func (s *story) onConfirm(confirmation *sparkloop.Confirmation, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bought = outcome{confirmation, err}
}

// click is SparkLoop's link in a newsletter: it notes the click and sends the
// browser on to the shop, with the two ids added.
func (s *story) click(w http.ResponseWriter, r *http.Request) {
	redirect, _ := s.api.Click(r.FormValue("to"), s.site.url+"/welcome?utm_source=newsletter")
	http.Redirect(w, r, redirect, http.StatusFound)
}

// visit plays a reader who clicks, lands and signs up.
func (s *story) visit(ctx context.Context, offer, email string) (*visitor, error) {
	v := newVisitor()
	err := errors.Join(
		v.open(ctx, s.newsletter.url+"/?to="+offer),
		v.submit(ctx, "/signup", url.Values{"email": {email}}),
	)
	return v, err
}

// buy plays the purchase and returns what came of its confirmation.
func (s *story) buy(ctx context.Context, v *visitor, email string) (outcome, error) {
	err := v.submit(ctx, "/buy", url.Values{"email": {email}})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bought, err
}

func (s *story) offers(ctx context.Context) error {
	s.step("The offers of the account")
	for offer, err := range s.shop.sparkloop.Offers.All(ctx) {
		if err != nil {
			return err
		}
		s.printf("   %-15s %-12s %-7s %-9s %8s\n", offer.UUID, offer.Name, offer.ConversionType, offer.ConversionEvent, offer.CPA)
	}
	return nil
}

func (s *story) purchase(ctx context.Context) error {
	const email = "first@example.com"
	v, err := s.visit(ctx, sparklooptest.DefaultOffer, email)
	if err != nil {
		return err
	}
	defer v.leave()
	s.step("A reader clicks, and SparkLoop sends the browser to the shop")
	s.printf("   %s\n", v.landed)

	s.mu.Lock()
	captured := s.captured
	s.mu.Unlock()
	s.step("The shop captures the two ids: for the visitor in a cookie, for the user in a row")
	s.printf("   offer       %s\n   submission  %s\n   confirm by  %s, 45 days from now\n",
		captured.Offer, captured.Submission, captured.ExpiresAt().Format("2 January 2006"))

	s.step("The reader buys, and the shop confirms the conversion")
	bought, err := s.buy(ctx, v, email)
	if err != nil {
		return err
	}
	s.printOutcome(bought)

	s.step("The button is pressed again: SparkLoop counts a conversion once, so repeating is safe")
	bought, err = s.buy(ctx, v, email)
	if err != nil {
		return err
	}
	s.printOutcome(bought)
	return nil
}

func (s *story) lostAnswer(ctx context.Context) error {
	const email = "second@example.com"
	s.step("Another reader buys, and SparkLoop's answer is lost on the way")
	v, err := s.visit(ctx, "offer_5678efgh", email)
	if err != nil {
		return err
	}
	defer v.leave()
	before := len(s.api.Requests())
	s.api.Fail(sparklooptest.LostAnswer(), 1)
	bought, err := s.buy(ctx, v, email)
	if err != nil {
		return err
	}
	s.printf("   %d requests: the first was carried out and its answer lost, so the client asked again\n", len(s.api.Requests())-before)
	s.printOutcome(bought)
	return nil
}

func (s *story) refused(ctx context.Context) error {
	const email = "third@example.com"
	s.step("A third one comes through a Lead offer, where there is nothing to confirm")
	v, err := s.visit(ctx, s.lead.UUID, email)
	if err != nil {
		return err
	}
	defer v.leave()
	bought, err := s.buy(ctx, v, email)
	if err != nil {
		return err
	}
	s.printOutcome(bought)
	return nil
}

func (s *story) printOutcome(o outcome) {
	switch {
	case o.err == nil && o.confirmation.AlreadyConfirmed:
		s.printf("   ✓ Already confirmed (in SparkLoop's words: %q)\n", o.confirmation.Message)
	case o.err == nil:
		s.printf("   ✓ Confirmed: %q\n", o.confirmation.Message)
	case sparkloop.Retryable(o.err):
		s.printf("   … Not yet, and worth another try later: %v\n", o.err)
	default:
		s.printf("   ✗ Refused for good, for a person to look at:\n     %v\n", o.err)
	}
}

func (s *story) step(title string) {
	s.n++
	s.printf("\n%d. %s\n", s.n, title)
}

func (s *story) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }
