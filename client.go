package sparkloop

import (
	"errors"
	"fmt"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/api"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// DefaultBaseURL is where SparkLoop's guide says the API is. Its reference
// gives https://api.sparkloop.app/v2 instead, and the last segment of the
// conversion endpoint is published in two spellings: without [WithBaseURL] a
// client finds out by itself which of the four answers.
//
// https://docs.sparkloop.app/api-v2/guides/how-to-confirm-action-offers-via-api
const DefaultBaseURL = "https://api.sparkloop.app/api/v2"

const version = "0.1.0"

// Client calls the SparkLoop API. Make one per process with [New]. It is
// immutable and safe for concurrent use, opens no connection before its first
// call, and needs no closing.
type Client struct {
	// Offers reads the account's offers.
	Offers *OffersService
	// Conversions confirms that a referred person did what an offer pays for.
	Conversions *ConversionsService

	cfg config
}

// New returns a client for an API key. The comment on each option says what
// holds without it.
//
// An empty or malformed key and a wrong option are errors that say what is
// wrong and never show the key. New sends nothing; to see at start-up whether
// the key works, list a page of offers.
func New(apiKey string, opts ...Option) (*Client, error) {
	if err := checkKey(apiKey); err != nil {
		return nil, fmt.Errorf("sparkloop: %w", err)
	}
	return build(defaults(transport.NewKey(apiKey)), opts)
}

// With returns a copy of the client with other options. The copy has the same
// key and shares the connections, the endpoint that was found and the rate
// limit, but for what an option replaces: [WithHTTPClient] the connections,
// [WithBaseURL] the endpoint, [WithRateLimit] and [WithLimiter] the limit. The
// client itself is not changed.
func (c *Client) With(opts ...Option) (*Client, error) {
	if c == nil || c.cfg.endpoints == nil {
		return nil, errors.New("sparkloop: With needs a client that New has made")
	}
	return build(c.cfg, opts)
}

// RateLimit returns the numbers of [WithRateLimit] that are in force: by default
// 120 and a minute. They are 0 with pacing turned off, and with [WithLimiter],
// which has numbers of its own.
func (c *Client) RateLimit() (requests int, window time.Duration) {
	return c.cfg.requests, c.cfg.window
}

// BaseURL returns the base URL of [WithBaseURL], or [DefaultBaseURL].
func (c *Client) BaseURL() string { return c.cfg.base }

func build(cfg config, opts []Option) (*Client, error) {
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("sparkloop: an option is nil")
		}
		if err := opt(&cfg); err != nil {
			return nil, fmt.Errorf("sparkloop: %w", err)
		}
	}
	a := &api.API{
		Endpoints: cfg.endpoints,
		Transport: transport.New(cfg.transport),
		Key:       cfg.transport.Key,
		Timeout:   cfg.timeout,
	}
	a.Tracer, _ = cfg.transport.Client.Transport.(api.Tracer)
	return &Client{
		Offers:      &OffersService{api: a},
		Conversions: &ConversionsService{api: a},
		cfg:         cfg,
	}, nil
}

// checkKey refuses what cannot be a key, most of all what a file or a copied
// line leaves at its ends. It never shows the key.
func checkKey(key string) error {
	const most = 1024
	switch {
	case key == "":
		return errors.New("the API key is empty")
	case len(key) > most:
		return fmt.Errorf("the API key has %d characters; at most %d are taken", len(key), most)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return fmt.Errorf("the API key has a space, a line break or a character outside ASCII: number %d of %d", i+1, len(key))
		}
	}
	return nil
}
