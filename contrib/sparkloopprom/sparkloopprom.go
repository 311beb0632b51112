// Package sparkloopprom exports the metrics of an outbox and of a client to
// Prometheus.
//
//	transport := sparkloopprom.NewTransport(nil)
//	client, err := sparkloop.New(key, sparkloop.WithHTTPClient(&http.Client{Transport: transport}))
//	queue, err := sqliteoutbox.Open(ctx, "sparkloop.db", client, outbox.Options{})
//	prometheus.MustRegister(transport, sparkloopprom.NewCollector(queue))
//	http.Handle("/metrics", promhttp.Handler())
//
// The transport and the collector are independent. The folder also has alert
// rules, alerts.yml, and a Grafana dashboard, dashboard.json.
//
// # Metrics of the queue
//
// These gauges are read from the queue's database at each scrape:
//
//   - sparkloop_outbox_up: 1 if the database could be read, else 0. With 0, all
//     other gauges are omitted.
//   - sparkloop_outbox_conversions{state}: rows by state (pending, confirmed,
//     dead, expired). Confirmed rows are deleted after [outbox.Options].Keep.
//   - sparkloop_outbox_confirmed_last_hour: conversions confirmed in the last
//     60 minutes, by all processes.
//   - sparkloop_outbox_swept_conversions: rows found only by Options.Source.
//   - sparkloop_outbox_oldest_pending_age_seconds: 0 if none is pending.
//   - sparkloop_outbox_last_died_timestamp_seconds: the latest time at which a
//     currently dead or expired conversion entered its state; 0 if there is none.
//   - sparkloop_outbox_paused: 1 if the queue or this process is paused, else 0.
//   - sparkloop_outbox_pause_duration_seconds: 0 if there is no pause.
//
// This is a counter of one process. It starts at 0 after a restart, as rate()
// and increase() expect:
//
//   - sparkloop_outbox_deliveries_total{outcome}: conversions that became
//     confirmed, dead or expired, and failed attempts (retried).
//
// # Metrics of the client
//
//   - sparkloop_client_requests_total{operation,code}: requests, retries
//     included. operation is confirm, get_offer, list_offers or other. code is
//     2xx, 3xx, 4xx, 401, 429 or 5xx, error if there was no answer, or canceled.
//     401 (the key) and 429 (the rate limit) are not part of 4xx.
//   - sparkloop_client_request_duration_seconds{operation}: a histogram of the
//     time until the header of the answer or the error.
//
// No label contains an ID, an address or a key.
//
// # Several processes
//
// All processes on one database report the same rows. Take max of the gauges
// (min of sparkloop_outbox_up), never sum. Take sum of the counters. The rules
// and the dashboard do so.
//
// # Several queues
//
// Give each queue a label with the name queue:
//
//	eu := prometheus.WrapRegistererWith(prometheus.Labels{"queue": "eu"}, prometheus.DefaultRegisterer)
//	eu.MustRegister(sparkloopprom.NewCollector(queue))
package sparkloopprom
