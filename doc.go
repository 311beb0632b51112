// Package sparkloop is a client for SparkLoop Action offers. A merchant with such
// an offer receives visitors from newsletters. The landing URL has two IDs. When
// such a visitor does what the offer pays for, perhaps weeks later, the merchant
// confirms the conversion, and the publisher is paid.
//
// The package is unofficial: it is not affiliated with SparkLoop, and was not
// checked against the live API.
//
// # First confirmation
//
// Make one [Client] for the process. Read the IDs where visitors land:
//
//	client, err := sparkloop.New(os.Getenv("SPARKLOOP_API_KEY"))
//	...
//	tracking, err := sparkloop.TrackingFromRequest(r)
//
// Package capture does this for every landing page and keeps the [Tracking] in a
// cookie. Store it with the user and with the order: a Tracking can be a text
// column of a table. Once the order is paid:
//
//	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
//	_, err = client.Conversions.Confirm(ctx, order.Tracking)
//
// # Delivery in the background
//
// A checkout should not wait for SparkLoop, and a confirmation should survive the
// process. Package outbox stores conversions and delivers them in the background.
// Its engines are sqliteoutbox and riveroutbox.
//
// # Errors
//
// A failed call returns an [*Error] with the status, the API's message and the
// number of attempts. [errors.Is] matches it to the Err values of this package.
// [Retryable] reports whether the call may succeed later, for any error:
//
//	switch {
//	case err == nil: // confirmed, now or before
//	case sparkloop.Retryable(err): // store it and retry later
//	default: // final: store it for a person to review
//	}
//
// # Retries and deadlines
//
// A call retries after a temporary failure: 408, 425, 429, 5xx except 501, a
// connection or an answer that breaks. It does not retry an error that a second
// attempt would only repeat: an unknown host, a certificate, a redirect, a proxy's
// page. [WithRetries] limits the retries. The pauses are random and grow; a
// Retry-After from the API overrides them.
//
// A call ends with the context's deadline, or after [WithTimeout]. If the next
// attempt would come too late, the call returns at once: its error holds the API's
// last answer and matches [context.DeadlineExceeded].
//
// Repeating a confirmation is always safe. A conversion counts once at SparkLoop,
// and a second confirmation is a success with [Confirmation.AlreadyConfirmed] set.
//
// # Rate limit
//
// The API allows 120 requests in any 60 seconds per key. A client keeps to that
// limit over all its goroutines: the first 120 requests are sent at once, the rest
// wait. A call whose turn comes after its deadline fails at once with
// [ErrRateLimited] and is not sent. A 429 pauses all calls. [WithLimiter] puts
// several clients or machines under one limit.
//
// # Which address
//
// SparkLoop publishes the address of the conversion endpoint in several forms. A
// client tries them with its first call and keeps the one that works. See
// [DefaultBaseURL] and [WithBaseURL].
//
// # Testing
//
// Package sparklooptest is an API to test against. It confirms each conversion
// once, keeps the rate limit and fails on demand: with a lost answer, a broken
// connection, an outage. It needs neither a key nor a network.
package sparkloop
