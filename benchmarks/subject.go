package main

import (
	"errors"
	"fmt"
	"net/http"
)

// subject is a measured client.
type subject struct {
	name    string
	module  string // "" for the standard library
	program string // its folder below footprint/
	make    func(setup) (calls, error)
	calls   string // the methods it calls
	does    string // more or less than net/http
}

// setup is the configuration of a subject's client.
type setup struct {
	base      string       // address of the server, without a final slash
	client    *http.Client // nil: the subject's default client
	noRetries bool         // no retries; otherwise the default
}

// calls are the two calls of every subject. Each sends one request.
type calls struct {
	post call // an empty body, a tiny JSON reply
	list call // 200 objects in the subject's own types
}

// The first subject is the base of the comparison.
var subjects = []subject{
	{
		name: raw, program: "plain", make: newRaw,
		calls: "confirm; list 200 offers",
		does:  "no deadline, no retries, no pacing, no limit on the body; `json.Decoder` into a plain struct",
	},
	{
		name: sdk, module: "github.com/sparkloop-go/sparkloop", program: "sparkloop", make: newSparkLoop,
		calls: "`Conversions.Confirm`; `Offers.List`",
		does: "all on: IDs validated, pacing at a limit that is never reached, deadline, retries, body bounded and read whole inside the retry loop, " +
			"errors classified; exact money, a field of the wrong type is ignored",
	},
	{
		name: "go-retryablehttp", module: "github.com/hashicorp/go-retryablehttp", program: "retryablehttp", make: newRetryable,
		calls: "as net/http",
		does:  "retries; logging turned off; otherwise as net/http",
	},
	{
		name: "go-github", module: "github.com/google/go-github/v89", program: "github", make: newGitHub,
		calls: "`Actions.CreateRegistrationToken`; `Issues.ListMilestones`",
		does: "no retries; follows the rate limit in answers (ours have none) and refuses calls beyond it, no pacing; " +
			"adds the token in a transport; a pointer for each field",
	},
	{
		name: "hcloud-go", module: "github.com/hetznercloud/hcloud-go/v2", program: "hcloud", make: newHCloud,
		calls: "`Server.Poweron`; `Image.List`",
		does:  "retries, no pacing; decodes into a schema and converts it to its types; its action is five times as long as the other replies",
	},
	{
		name: "stripe-go", module: "github.com/stripe/stripe-go/v85", program: "stripe", make: newStripe,
		calls: "`PaymentIntents.Cancel`; `Products.List`",
		does:  "retries with an idempotency key for each POST, telemetry headers, parameters encoded by reflection; no pacing; pages its list automatically",
	},
	{
		name: "openai-go", module: "github.com/openai/openai-go/v3", program: "openai", make: newOpenAI,
		calls: "`Batches.Cancel`; `Batches.List`",
		does:  "retries, no pacing; options applied to each call; keeps the raw JSON of every object and field",
	},
	{
		name: "anthropic-sdk-go", module: "github.com/anthropics/anthropic-sdk-go", program: "anthropic", make: newAnthropic,
		calls: "`Messages.Batches.Cancel`; `Messages.Batches.List`",
		does:  "retries, no pacing; options and a trace span for each call; keeps the raw JSON of every object and field",
	},
}

const (
	raw    = "net/http + encoding/json"
	sdk    = "sparkloop-go"
	apiKey = "0123456789abcdef0123456789abcdef"
)

var errIncomplete = errors.New("the reply was not decoded")

// whole checks that a list has all its objects.
func whole(n int, err error) error {
	if err == nil && n != listed {
		return fmt.Errorf("%w: %d objects of %d", errIncomplete, n, listed)
	}
	return err
}

// named checks that a small reply was decoded.
func named(name string, err error) error {
	if err == nil && name == "" {
		return errIncomplete
	}
	return err
}
