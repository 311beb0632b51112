// Package sparkloopotel traces and measures a client and an outbox with
// OpenTelemetry.
//
//	transport := sparkloopotel.NewTransport(nil)
//	client, err := sparkloop.New(key, sparkloop.WithHTTPClient(&http.Client{Transport: transport}))
//	queue, err := sqliteoutbox.Open(ctx, "sparkloop.db", client, outbox.Options{})
//	registration, err := sparkloopotel.ObserveQueue(queue)
//
// It uses OpenTelemetry's global providers, unless options give others.
//
// # Spans
//
// Names and attributes follow OpenTelemetry's semantic conventions 1.43. No name
// has an ID in it, and no attribute has the API key or the text of an error.
//
//   - "sparkloop confirm" (or list_offers, get_offer): a call of the client, of
//     the kind internal.
//   - "process sparkloop_outbox": the same for the delivery of a conversion by
//     the outbox. Its kind is consumer, and it is the root of its own trace.
//   - "POST /api/v2/offers/{offer}/submissions/{submission}/conversion": one
//     request, of the kind client. A call has one for each try. It ends when
//     the body of the answer is read.
//   - "enqueue sparkloop_outbox": what [Transport.Enqueue] stores, of the kind
//     producer.
//
// A span of a failed call or request has the status Error and error.type: the
// status code, or a short name such as timeout, unauthorized or
// submission_not_found. A conversion that was already confirmed is a success.
//
// The attribute url.full has the IDs of offer and submission. A request carries
// no trace context: SparkLoop is another company's system.
//
// # From Enqueue to delivery
//
// [Transport.Enqueue] links the delivery to the trace of the purchase:
//
//	err := transport.Enqueue(ctx, tracking, func(ctx context.Context) error {
//		return queue.EnqueueTx(ctx, tx, tracking)
//	})
//
// The link is in memory. So it is there if the same process delivers, until it
// restarts, for the last 10,000 conversions. The database stores no trace context:
// a delivery by another process has no link.
//
// # Metrics
//
//   - http.client.request.duration: a histogram of all requests.
//   - sparkloop.outbox.*: the figures of a queue; see [ObserveQueue].
package sparkloopotel
