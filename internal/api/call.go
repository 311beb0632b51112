// Package api speaks SparkLoop's protocol: where its endpoints are published,
// what its answers mean. It returns neutral results; the root package gives
// them their public types.
package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// API sends calls. It is safe for concurrent use and not changed once made.
type API struct {
	Endpoints *Endpoints
	Transport *transport.Transport
	Key       transport.Key
	Timeout   time.Duration // for a call whose context has no deadline
	Tracer    Tracer        // nil: none
}

// Tracer is an [http.RoundTripper] that also sees where a call begins and ends,
// which may have several requests. It uses no type of ours, so that a module
// that implements it works with every version of this one.
type Tracer interface {
	// TraceCall is called before a call, with its [Operation]. The context that
	// it returns is the one of all requests of the call. end is called after
	// the call, with "" for a success or else with a short name of the failure.
	TraceCall(ctx context.Context, operation string) (traced context.Context, end func(failure string))
}

type deliveryKey struct{}

// WithDelivery marks a call as the delivery of a conversion of the outbox, by its
// Tracking's key, for a Tracer.
func WithDelivery(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, deliveryKey{}, key)
}

// Delivery returns the key of the conversion that a call delivers.
func Delivery(ctx context.Context) (key string, ok bool) {
	key, ok = ctx.Value(deliveryKey{}).(string)
	return key, ok
}

// The operations of the API.
const (
	Confirm    = "confirm"
	GetOffer   = "get_offer"
	ListOffers = "list_offers"
)

// Operation names what a request asks for, or returns "" for a request that no
// Call sends. Its path may begin with that of any base.
func Operation(method, path string) string {
	part := strings.Split(path, "/")
	n := len(part)
	switch {
	case method == http.MethodPost && n >= 5 && part[n-5] == "offers" && part[n-3] == "submissions":
		return Confirm
	case method == http.MethodGet && n >= 2 && part[n-2] == "offers":
		return GetOffer
	case method == http.MethodGet && part[n-1] == "offers":
		return ListOffers
	}
	return ""
}

// Call is one call of the API. Its ids are valid.
type Call struct {
	Offer, Submission string
	Query             string
	Into              Reply // what a good answer is decoded into
}

// method is POST for what confirms a submission, GET for what reads offers.
func (c *Call) method() string {
	if c.Submission != "" {
		return http.MethodPost
	}
	return http.MethodGet
}

// Template returns the path of a request with {offer} and {submission} in the
// place of the ids, or "" for a request that no Call sends.
func Template(method, path string) string {
	part := strings.Split(path, "/")
	n := len(part)
	switch Operation(method, path) {
	case Confirm:
		part[n-4], part[n-2] = "{offer}", "{submission}"
	case GetOffer:
		part[n-1] = "{offer}"
	case ListOffers:
	default:
		return ""
	}
	return strings.Join(part, "/")
}

func (c *Call) operation() string {
	switch {
	case c.Submission != "":
		return Confirm
	case c.Offer != "":
		return GetOffer
	}
	return ListOffers
}

// url is where the call goes in one form of its endpoint.
func (c *Call) url(f *endpoint.Form) *url.URL {
	path := "/offers"
	switch {
	case c.Submission != "":
		path = "/offers/" + url.PathEscape(c.Offer) + "/submissions/" + url.PathEscape(c.Submission) + "/" + f.Leaf
	case c.Offer != "":
		path = "/offers/" + url.PathEscape(c.Offer)
	}
	u := *f.Base
	if u.RawPath != "" {
		u.RawPath += path // valid ids are the same with and without escapes
	}
	u.Path += path
	u.RawQuery = c.Query
	return &u
}

// Do sends a call and decodes the good answer into c.Into. Anything else is a
// Failure.
func (a *API) Do(ctx context.Context, c Call) *Failure {
	if ctx == nil {
		return &Failure{Method: c.method(), Cause: errors.New("the context is nil")}
	}
	if a.Tracer != nil {
		return a.traced(ctx, c)
	}
	return a.do(ctx, c)
}

func (a *API) traced(ctx context.Context, c Call) *Failure {
	failure := "panic"
	ctx, end := a.Tracer.TraceCall(ctx, c.operation())
	defer func() { end(failure) }()
	failed := a.do(ctx, c)
	failure = failed.name()
	return failed
}

func (a *API) do(ctx context.Context, c Call) *Failure {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Timeout)
		defer cancel()
	}
	finder := a.Endpoints.offers
	if c.Submission != "" {
		finder = a.Endpoints.conversions
	}
	known := finder.Known()
	if known == nil {
		return a.search(ctx, c, finder, nil, &Failure{Method: c.method()})
	}
	failed, verdict := a.try(ctx, &c, known, true)
	if verdict == endpoint.Absent {
		return a.search(ctx, c, finder, known, failed)
	}
	return failed
}

// search sends the call to one form of its endpoint after the other, until one
// of them is there. absent is a known form that has just been seen absent, and
// failed what it answered.
func (a *API) search(ctx context.Context, c Call, finder *endpoint.Finder, absent *endpoint.Form, failed *Failure) *Failure {
	attempts := failed.Attempts
	tried, err := finder.Find(ctx, absent, func(f *endpoint.Form) (verdict endpoint.Verdict) {
		before := failed
		failed, verdict = a.try(ctx, &c, f, f == finder.Known())
		if failed != nil {
			attempts += failed.Attempts
			failed.Attempts = attempts
			failed.keep(before)
		}
		return verdict
	})
	if err == nil && tried == nil {
		return failed
	}
	if err != nil {
		failed.Cause = err
		return failed
	}
	failed.Kind = EndpointNotFound
	failed.Detail = "tried"
	for i, f := range tried {
		u := c.url(f)
		if i > 0 {
			failed.Detail += ","
		}
		failed.Detail += " " + u.String()
		failed.Path = u.Path
	}
	return failed
}

// try sends the call to one form; proven says that the form is known to be there.
func (a *API) try(ctx context.Context, c *Call, f *endpoint.Form, proven bool) (*Failure, endpoint.Verdict) {
	u := c.url(f)
	answer := a.Transport.Do(ctx, c.method(), u)
	defer answer.Release()
	if answer.Err == nil && answer.StatusCode/100 == 2 {
		problem, message := decode(answer.Body, c.Into)
		if problem == "" {
			return nil, endpoint.Proven
		}
		failed := a.failure(c, u, answer, message)
		failed.Kind, failed.Detail = UnexpectedResponse, problem
		return failed, endpoint.Open
	}
	return a.refused(c, u, answer, proven)
}
