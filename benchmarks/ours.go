package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/sparkloop-go/sparkloop"
)

// newSparkLoop returns this SDK's client with all features on. Its rate limit
// is active and never reached: 120 calls do not fit in a microsecond.
func newSparkLoop(s setup) (calls, error) {
	opts := []sparkloop.Option{
		sparkloop.WithBaseURL(s.base + "/api/v2"),
		sparkloop.WithRateLimit(120, time.Microsecond),
	}
	if s.client != nil {
		opts = append(opts, sparkloop.WithHTTPClient(s.client))
	}
	if s.noRetries {
		opts = append(opts, sparkloop.WithRetries(0))
	}
	c, err := sparkloop.New(apiKey, opts...)
	if err != nil {
		return calls{}, err
	}
	t := sparkloop.Tracking{Offer: offerID, Submission: submissionID}
	return calls{
		post: func(ctx context.Context) error {
			done, err := c.Conversions.Confirm(ctx, t)
			if err != nil {
				return err
			}
			return named(done.Message, nil)
		},
		list: func(ctx context.Context) error {
			page, err := c.Offers.List(ctx, sparkloop.ListOffersParams{Page: 1, PerPage: listed})
			if err != nil {
				return err
			}
			return whole(len(page.Offers), nil)
		},
	}, nil
}

// newRaw returns a client written by hand.
func newRaw(s setup) (calls, error) {
	client := s.client
	if client == nil {
		client = http.DefaultClient
	}
	return byHand(s.base, func(ctx context.Context, method, address string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return nil, err
		}
		setHeader(req.Header)
		return client.Do(req)
	}), nil
}

// newRetryable returns the same with go-retryablehttp.
func newRetryable(s setup) (calls, error) {
	client := retryablehttp.NewClient()
	client.Logger = nil
	if s.client != nil {
		client.HTTPClient = s.client
	}
	if s.noRetries {
		client.RetryMax = 0
	}
	return byHand(s.base, func(ctx context.Context, method, address string) (*http.Response, error) {
		req, err := retryablehttp.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return nil, err
		}
		setHeader(req.Header)
		return client.Do(req)
	}), nil
}

func setHeader(h http.Header) {
	h.Set("X-Api-Key", apiKey)
	h.Set("Accept", "application/json")
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("User-Agent", "acme-shop/2.1")
}

// offer is an offer declared by hand.
type offer struct {
	UUID              string    `json:"uuid"`
	Name              string    `json:"name"`
	Headline          string    `json:"headline"`
	Description       string    `json:"description"`
	Callout           string    `json:"callout"`
	RedirectURL       string    `json:"redirect_url"`
	ConversionType    string    `json:"conversion_type"`
	Visibility        string    `json:"visibility"`
	Status            string    `json:"status"`
	ConversionEvent   string    `json:"conversion_event"`
	Terms             string    `json:"terms"`
	CPA               float64   `json:"cpa"`
	MonthlyBudget     float64   `json:"monthly_budget"`
	CreatedAt         time.Time `json:"created_at"`
	LandscapeImageURL string    `json:"landscape_image_url"`
	PortraitImageURL  string    `json:"portrait_image_url"`
	GeoRestrictions   struct {
		AllowWorldwideReferrals bool     `json:"allow_worldwide_referrals"`
		AllowedCountries        []string `json:"allowed_countries"`
		BlockedCountries        []string `json:"blocked_countries"`
	} `json:"geo_restrictions"`
}

func byHand(base string, send func(ctx context.Context, method, address string) (*http.Response, error)) calls {
	get := func(ctx context.Context, method, address string, into any) error {
		resp, err := send(ctx, method, address)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			io.Copy(io.Discard, resp.Body) //nolint:errcheck // so that the connection can be used again
			return fmt.Errorf("answered %s", resp.Status)
		}
		return json.NewDecoder(resp.Body).Decode(into)
	}
	return calls{
		post: func(ctx context.Context) error {
			var reply struct {
				Message string `json:"message"`
			}
			address := base + "/api/v2/offers/" + url.PathEscape(offerID) + "/submissions/" + url.PathEscape(submissionID) + "/conversion"
			err := get(ctx, http.MethodPost, address, &reply)
			return named(reply.Message, err)
		},
		list: func(ctx context.Context) error {
			var reply struct {
				Offers []offer `json:"offers"`
			}
			err := get(ctx, http.MethodGet, base+"/api/v2/offers?page=1&per_page=200", &reply)
			return whole(len(reply.Offers), err)
		},
	}
}
