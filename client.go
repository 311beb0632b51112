package sparkloop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/calls"
	"github.com/sparkloop-go/sparkloop/internal/endpoint"
	"github.com/sparkloop-go/sparkloop/internal/redact"
	"github.com/sparkloop-go/sparkloop/internal/reply"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// DefaultBaseURL is the base URL in SparkLoop's guide. Its reference gives
// https://api.sparkloop.app/v2 instead, and the last segment of the conversion
// endpoint is published in two spellings. Without [WithBaseURL] a client tries
// the four addresses until one of them is proven by a success or by one of
// SparkLoop's known refusals.
//
// https://docs.sparkloop.app/api-v2/guides/how-to-confirm-action-offers-via-api
const DefaultBaseURL = "https://api.sparkloop.app/api/v2"

const version = "0.1.0"

// Client calls the SparkLoop API. Make one per process with [New]. It is
// immutable and safe for concurrent use. It opens no connection before its first
// call and needs no Close.
type Client struct {
	// Offers reads the account's offers.
	Offers *OffersService
	// Conversions confirms conversions.
	Conversions *ConversionsService

	cfg config
}

// New returns a client for an API key. The comment of each option documents its
// default.
//
// It returns an error for an empty or malformed key and for an invalid option.
// The error never shows the key. New sends nothing. To check the key at start-up,
// list a page of offers.
func New(apiKey string, opts ...Option) (*Client, error) {
	if err := checkKey(apiKey); err != nil {
		return nil, fmt.Errorf("sparkloop: %w", err)
	}
	return build(defaults(redact.NewKey(apiKey)), opts)
}

// With returns a copy of the client with other options. The client itself is not
// changed. The copy has the same key. It shares the connections, the address of
// the endpoint and the rate limit, unless an option replaces them:
// [WithHTTPClient] the connections, [WithBaseURL] the address, [WithRateLimit]
// and [WithLimiter] the limit.
func (c *Client) With(opts ...Option) (*Client, error) {
	if c == nil || c.cfg.endpoints == nil {
		return nil, errors.New("sparkloop: With: the client was not made by New")
	}
	return build(c.cfg, opts)
}

// RateLimit returns the numbers of [WithRateLimit]. Default: 120 and a minute.
// They are 0 if pacing is off, and with [WithLimiter], which has its own numbers.
func (c *Client) RateLimit() (requests int, window time.Duration) {
	return c.cfg.requests, c.cfg.window
}

// BaseURL returns the base URL of [WithBaseURL], or [DefaultBaseURL].
func (c *Client) BaseURL() string { return c.cfg.base }

func init() {
	redact.Mark = func(client any, salt string) string {
		if c, ok := client.(*Client); ok && c.cfg.key.Mark != nil {
			return c.cfg.key.Mark(salt)
		}
		return ""
	}
}

func build(cfg config, opts []Option) (*Client, error) {
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("sparkloop: an option is nil")
		}
		if err := opt(&cfg); err != nil {
			return nil, fmt.Errorf("sparkloop: %w", err)
		}
	}
	c := &caller{
		endpoints: cfg.endpoints,
		transport: transport.New(cfg.transport),
		key:       cfg.key,
		timeout:   cfg.timeout,
	}
	c.tracer, _ = cfg.transport.Client.Transport.(calls.Tracer)
	return &Client{
		Offers:      &OffersService{c},
		Conversions: &ConversionsService{c},
		cfg:         cfg,
	}, nil
}

// caller sends the calls of a client's services. It is immutable.
type caller struct {
	endpoints *endpoint.Endpoints
	transport *transport.Transport
	key       redact.Key
	timeout   time.Duration
	tracer    calls.Tracer // or nil
}

// call is one call of the API. Its IDs are valid.
type call struct {
	offer, submission string
	query             string
	body              reply.Body // a success is decoded into it
}

// String names the call in errors.
func (c *call) String() string {
	switch {
	case c.submission != "":
		return "confirm " + c.offer + "/" + c.submission
	case c.offer != "":
		return "get offer " + c.offer
	}
	return "list offers"
}

// method is POST to confirm a submission, GET to read offers.
func (c *call) method() string {
	if c.submission != "" {
		return http.MethodPost
	}
	return http.MethodGet
}

func (c *call) operation() string {
	switch {
	case c.submission != "":
		return calls.Confirm
	case c.offer != "":
		return calls.GetOffer
	}
	return calls.ListOffers
}

// do sends a call and decodes the success into its body. It returns nil for a
// success.
func (c *caller) do(ctx context.Context, call call) *Error {
	switch {
	case c == nil:
		return misuse(call.String(), "the client was not made by New")
	case ctx == nil:
		return misuse(call.String(), "the context is nil")
	}
	if c.tracer == nil {
		return c.send(ctx, call)
	}
	failure := "panic"
	ctx, end := c.tracer.TraceCall(ctx, call.operation())
	defer func() { end(failure) }()
	failed := c.send(ctx, call)
	failure = failed.name()
	return failed
}

// send sends a call to the known form of its endpoint, or searches for the form.
func (c *caller) send(ctx context.Context, call call) *Error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	finder := c.endpoints.Offers
	if call.submission != "" {
		finder = c.endpoints.Conversions
	}
	known := finder.Known()
	if known == nil {
		return c.search(ctx, call, finder, nil, nil)
	}
	failed, form := c.try(ctx, &call, known, true)
	if form == endpoint.Absent {
		return c.search(ctx, call, finder, known, failed)
	}
	return failed
}

// try sends a call to one form of its endpoint. proven is true if the form is
// known to be right.
func (c *caller) try(ctx context.Context, call *call, form *endpoint.Form, proven bool) (*Error, endpoint.Verdict) {
	answer := c.transport.Do(ctx, call.method(), form.URL(call.offer, call.submission, call.query))
	defer answer.Release()
	meaning := reply.Read(answer, call.body, proven)
	if meaning.OK {
		return nil, meaning.Form
	}
	return c.newError(call.String(), answer, meaning), meaning.Form
}

// search sends a call to one form of its endpoint after the other, until one of
// them is proven. lost is a known form that has just been absent, and failed its
// answer.
//
// If no form is proven, the error is the first answer; a 404 or 405 counts as an
// answer only if every form gives one.
func (c *caller) search(ctx context.Context, call call, finder *endpoint.Finder, lost *endpoint.Form, failed *Error) *Error {
	attempts, unknown := 0, lost == nil
	if failed != nil {
		attempts = failed.Attempts
	}
	absent, err := finder.Find(ctx, lost, func(form *endpoint.Form) endpoint.Verdict {
		proven := form == finder.Known()
		answer, verdict := c.try(ctx, &call, form, proven)
		if answer != nil {
			attempts += answer.Attempts
		}
		switch {
		case proven || verdict == endpoint.Proven || failed == nil:
			failed = answer
			unknown = unknown && verdict == endpoint.Absent
		case verdict == endpoint.Unclear && unknown:
			answer.keep(failed)
			failed = answer
		case unknown && verdict == endpoint.Other:
			failed, unknown = answer, false
		}
		return verdict
	})
	if err != nil && failed == nil {
		failed = &Error{Method: call.method(), what: call.String()}
	}
	if failed == nil {
		return nil
	}
	failed.Attempts = attempts
	switch {
	case err != nil:
		failed.cause = err
	case absent != nil:
		var addresses []string
		for _, form := range absent {
			addresses = append(addresses, form.URL(call.offer, call.submission, call.query).String())
		}
		failed.kind, failed.detail = ErrEndpointNotFound, "tried "+strings.Join(addresses, ", ")
	}
	return failed
}

// checkKey rejects a malformed key, such as one with a line break from a file.
// Its error never shows the key.
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
