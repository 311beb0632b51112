// Package sparkloopotel traces and measures a client and an outbox with
// OpenTelemetry.
//
//	transport := sparkloopotel.NewTransport(nil)
//	client, err := sparkloop.New(key, sparkloop.WithHTTPClient(&http.Client{Transport: transport}))
//	queue, err := sqliteoutbox.Open(ctx, "sparkloop.db", client, outbox.Options{})
//	registration, err := sparkloopotel.ObserveQueue(queue)
//
// It uses OpenTelemetry's global providers. Options override them.
//
// # Spans
//
// Names and attributes follow OpenTelemetry's semantic conventions 1.43. No
// name contains an ID. No attribute contains the API key or the text of an
// error.
//
//   - "sparkloop confirm" (or list_offers, get_offer): a call of the client.
//     Kind: internal.
//   - "process sparkloop_outbox": the delivery of a conversion by the outbox, in
//     place of "sparkloop confirm". Kind: consumer. It is the root of its trace.
//   - "POST /api/v2/offers/{offer}/submissions/{submission}/conversion": one
//     request. Kind: client. A call has one such span per attempt. It ends when
//     the body of the answer is read.
//   - "enqueue sparkloop_outbox": a call of [Transport.Enqueue]. Kind: producer.
//
// The span of a failed call or request has the status Error and error.type: the
// status code, or a short name such as timeout, unauthorized or
// submission_not_found. A conversion that was already confirmed is a success.
//
// The attribute url.full contains the IDs of offer and submission. Requests
// have no trace context header, because SparkLoop is another company's system.
//
// # From Enqueue to delivery
//
// [Transport.Enqueue] links the delivery to the trace of the purchase:
//
//	err := transport.Enqueue(ctx, tracking, func(ctx context.Context) error {
//		return queue.EnqueueTx(ctx, tx, tracking)
//	})
//
// The link is kept in memory, for the last 10,000 conversions. After a restart,
// or if another process delivers, the delivery has no link.
//
// # Metrics
//
//   - http.client.request.duration: a histogram of all requests.
//   - sparkloop.outbox.*: the figures of a queue, see [ObserveQueue].
package sparkloopotel
