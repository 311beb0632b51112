// Package calls names calls, requests and deliveries for metrics and traces.
package calls

import (
	"context"
	"net/http"
	"strings"
)

// Operations of the API, named for metrics and traces.
const (
	Confirm    = "confirm"
	GetOffer   = "get_offer"
	ListOffers = "list_offers"
)

// Operation returns the operation of a request, or "" if the SDK does not send
// such a request. The path may begin with the path of any base.
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

// Template returns the path of a request with {offer} and {submission} in place
// of the IDs. It returns "" if the SDK does not send such a request.
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

// Tracer is an [http.RoundTripper] that also observes calls, each of which may
// send several requests. The interface uses no type of this module, so an
// implementation works with every version.
type Tracer interface {
	// TraceCall is called before a call, with its operation. All requests of
	// the call get the returned context. end is called after the call, with ""
	// after a success, or with a short name of the failure.
	TraceCall(ctx context.Context, operation string) (traced context.Context, end func(failure string))
}

type deliveryKey struct{}

// WithDelivery marks a call as the outbox's delivery of a conversion, by the
// key of its Tracking.
func WithDelivery(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, deliveryKey{}, key)
}

// Delivery returns the key of the conversion that a call delivers.
func Delivery(ctx context.Context) (key string, ok bool) {
	key, ok = ctx.Value(deliveryKey{}).(string)
	return key, ok
}
