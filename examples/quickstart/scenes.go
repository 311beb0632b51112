package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func (s *story) offers(ctx context.Context) error {
	s.step("The offers of the account")
	for offer, err := range s.client.Offers.All(ctx) {
		if err != nil {
			return err
		}
		s.printf("   %-15s %-12s %-7s %-9s %8s\n", offer.UUID, offer.Name, offer.ConversionType, offer.ConversionEvent, offer.CPA)
	}
	return nil
}

func (s *story) purchase(ctx context.Context) error {
	v, err := s.visit(ctx, sparklooptest.DefaultOffer, "first@example.com")
	if err != nil {
		return err
	}
	defer v.leave()
	s.step("A reader clicks, and SparkLoop sends the browser to the shop")
	s.printf("   %s\n", v.landed)

	s.step("The shop captures the two ids: for the visitor in a cookie, for the user in a row")
	s.printf("   offer       %s\n   submission  %s\n   confirm by  %s, 45 days from now\n",
		v.tracking.Offer, v.tracking.Submission, v.tracking.ExpiresAt().Format("2 January 2006"))

	s.step("The reader buys. The conversion goes into a file, and from there to SparkLoop")
	if err := s.buy(ctx, v); err != nil {
		return err
	}
	if err := s.settled(ctx, v); err != nil {
		return err
	}

	s.step("The button is pressed again: the conversion is known, and stays one")
	if err := s.buy(ctx, v); err != nil {
		return err
	}
	return s.settled(ctx, v)
}

func (s *story) outage(ctx context.Context) error {
	s.step("SparkLoop is down, and two more readers buy. Their checkouts do not wait")
	s.api.Fail(sparklooptest.Status(http.StatusServiceUnavailable, ""), -1)
	var buyers []*visitor
	for _, email := range []string{"second@example.com", "third@example.com"} {
		v, err := s.visit(ctx, sparklooptest.DefaultOffer, email)
		if err != nil {
			return err
		}
		defer v.leave()
		if err := s.buy(ctx, v); err != nil {
			return err
		}
		buyers = append(buyers, v)
	}
	var stats outbox.Stats
	err := poll(ctx, func() (paused bool, err error) {
		stats, err = s.queue.Stats(ctx)
		return !stats.PausedSince.IsZero(), err
	})
	if err != nil {
		return err
	}
	s.printf("   … %d pending; the queue asks now and then whether SparkLoop is back\n", stats.Pending)
	s.api.Fail(sparklooptest.Fault{}, 0)
	s.printf("   SparkLoop is back\n")
	return s.settled(ctx, buyers...)
}

func (s *story) lostAnswer(ctx context.Context) error {
	s.step("Another reader buys, and SparkLoop's answer is lost on the way")
	v, err := s.visit(ctx, "offer_5678efgh", "fourth@example.com")
	if err != nil {
		return err
	}
	defer v.leave()
	before := len(s.api.Requests())
	s.api.Fail(sparklooptest.LostAnswer(), 1)
	if err := s.buy(ctx, v); err != nil {
		return err
	}
	err = s.settled(ctx, v)
	s.printf("   %d requests: the first was carried out and its answer lost, so the queue asked again.\n"+
		"   SparkLoop counts a conversion once, so that is safe\n", len(s.api.Requests())-before)
	return err
}

func (s *story) refused(ctx context.Context) error {
	s.step("One comes through a Lead offer, where there is nothing to confirm")
	v, err := s.visit(ctx, s.lead.UUID, "fifth@example.com")
	if err != nil {
		return err
	}
	defer v.leave()
	if err := s.buy(ctx, v); err != nil {
		return err
	}
	return s.settled(ctx, v)
}

// visit plays a reader who clicks, lands and signs up.
func (s *story) visit(ctx context.Context, offer, email string) (*visitor, error) {
	v := newVisitor(email)
	err := errors.Join(
		v.open(ctx, s.newsletter.url+"/?to="+offer),
		v.submit(ctx, "/signup", url.Values{"email": {email}}),
	)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.tracking = s.captured
	return v, err
}

// buy plays the purchase.
func (s *story) buy(ctx context.Context, v *visitor) error {
	start := time.Now()
	err := v.submit(ctx, "/buy", url.Values{"email": {v.email}})
	s.printf("   the checkout took %d ms\n", time.Since(start).Milliseconds())
	return err
}

// settled waits until SparkLoop has answered about what they bought, and
// prints what it said.
func (s *story) settled(ctx context.Context, buyers ...*visitor) error {
	for _, v := range buyers {
		var e outbox.Entry
		err := poll(ctx, func() (found bool, err error) {
			e, found, err = s.queue.Lookup(ctx, v.tracking)
			return found && e.State != outbox.Pending, err
		})
		if err != nil {
			return err
		}
		if e.State == outbox.Confirmed {
			s.printf("   ✓ Confirmed, in SparkLoop's words: %q\n", e.Reason)
		} else {
			s.printf("   ✗ Refused for good, for a person to look at:\n     %s\n", e.Reason)
		}
	}
	return nil
}

// poll asks every few milliseconds, for a minute at most.
func poll(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *story) step(title string) {
	s.n++
	s.printf("\n%d. %s\n", s.n, title)
}

func (s *story) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }
