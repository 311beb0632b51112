// Package sparkloop is a client for SparkLoop Action offers. A merchant who
// runs such an offer gets readers of newsletters sent to a landing page, with
// two ids in its URL. When one of them does what the offer pays for, weeks
// later perhaps, the merchant confirms it here, and the publisher is paid.
//
// It is not a product of SparkLoop and not affiliated with it.
//
// # First confirmation
//
// Make one [Client] for the process, and read the ids where visitors land:
//
//	client, err := sparkloop.New(os.Getenv("SPARKLOOP_API_KEY"))
//	...
//	tracking, err := sparkloop.TrackingFromRequest(r)
//
// Keep the [Tracking] with the visitor, then with the user and the order; it
// can be a text column of a table by itself. Once the order is paid:
//
//	ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
//	_, err = client.Conversions.Confirm(ctx, order.Tracking)
//
// # Errors
//
// What the API or the network answered is an [*Error] with the status, the
// API's message and the attempts made; the Err values tell by [errors.Is] what
// it means. Usually the question is another one: may it succeed later?
// [Retryable] answers it, for any error:
//
//	switch {
//	case err == nil: // confirmed, now or before
//	case sparkloop.Retryable(err): // keep it, try again later
//	default: // SparkLoop's last word: set it aside for a person
//	}
//
// # Delivery in the background
//
// A checkout should not wait for SparkLoop, and a confirmation should survive
// the process. Package outbox stores conversions and delivers them for as long as
// it takes; its engines are sqliteoutbox and riveroutbox.
//
// # Retries and deadlines
//
// A call repeats itself after a failure that may pass: 408, 425, 429, 5xx but
// 501, a connection or an answer that breaks. It does not after one that a
// second try would only repeat: an unknown host, a certificate, a redirect, a
// page that is not the API's. There are up to [WithRetries] more tries, with
// random pauses that grow, or with what the API asked for in Retry-After.
//
// It ends with the context's deadline, or after [WithTimeout]. When the next
// try would come too late, it returns at once, with the API's last answer and
// [context.DeadlineExceeded] in one error.
//
// To repeat a confirmation is always safe: a conversion counts once at
// SparkLoop, and a second confirmation is a success with
// [Confirmation.AlreadyConfirmed] set. So a lost answer costs nothing, and what
// a process could not confirm before it ended can be confirmed by the next one.
//
// # Pacing
//
// The API takes 120 requests in any 60 seconds from one key. A client keeps to
// that by itself, over all its goroutines: the first 120 go at once, the rest
// wait their turn, and a call whose turn would come after its deadline fails at
// once with [ErrRateLimited] and is not sent. After a 429 everybody pauses.
// [WithLimiter] puts several clients or machines under one limit.
//
// # Which address
//
// SparkLoop has published the address of the conversion endpoint in several
// forms. A client finds the one that answers with its first call, and keeps it;
// see [DefaultBaseURL] and [WithBaseURL].
//
// # Testing
//
// Package sparklooptest has an API to test against, which confirms each
// conversion once, keeps the rate limit and fails as ordered: with a lost
// answer, a broken connection, an outage. It needs neither key nor network.
package sparkloop
