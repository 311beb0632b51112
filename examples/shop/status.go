package main

import (
	"context"
	"database/sql"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// event is a line of the status page.
type event struct {
	At       time.Time
	Kind     string // click, signup, order, confirmed
	Order    string
	Who      string
	Tracking sparkloop.Tracking
	State    outbox.State // an order's, "" if there is nothing to confirm
	Error    string
}

// statusPage is the newest events and the sums.
type statusPage struct {
	Paused                                               bool
	Clicks, Signups, Orders, Confirmed, Pending, Refused int
	Events                                               []event
}

// status shows the newest events. The page reloads every two seconds, unless
// ?paused. A public shop needs a sign-in here.
func (s *shop) status(w http.ResponseWriter, r *http.Request) {
	data, err := s.store.statusPage(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	data.Paused = r.URL.Query().Has("paused")
	s.render(w, r, http.StatusOK, "status", data)
}

// statusPage reads the clicks, signups and orders from their rows, and the states
// of the conversions from the queue.
func (s *store) statusPage(ctx context.Context) (p statusPage, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM clicks), (SELECT count(*) FROM users), (SELECT count(*) FROM orders)`).
		Scan(&p.Clicks, &p.Signups, &p.Orders)
	if err != nil {
		return p, err
	}
	stats, err := s.queue.Stats(ctx)
	if err != nil {
		return p, err
	}
	p.Confirmed, p.Pending, p.Refused = stats.Confirmed, stats.Pending, stats.Dead+stats.Expired
	rows, err := query(ctx, s, scanEvent, `
		SELECT 1 AS step, created AS at, 'click' AS kind, '' AS id, '' AS email, tracking FROM clicks
		UNION ALL
		SELECT 2, created, 'signup', '', email, tracking FROM users
		UNION ALL
		SELECT 3, created, 'order', id, email, tracking FROM orders
		ORDER BY at DESC, step DESC LIMIT 50`)
	if err != nil {
		return p, err
	}
	for _, e := range rows {
		if e.Kind == "order" {
			if err := s.follow(ctx, &p, &e); err != nil {
				return p, err
			}
		}
		p.Events = append(p.Events, e)
	}
	slices.SortStableFunc(p.Events, func(a, b event) int { return b.At.Compare(a.At) })
	return p, nil
}

// follow adds the state of an order's conversion.
func (s *store) follow(ctx context.Context, p *statusPage, e *event) error {
	conversion, found, err := s.queue.Lookup(ctx, e.Tracking)
	switch {
	case err != nil || !found:
		return err // none: the buyer did not come through SparkLoop
	case conversion.State == outbox.Confirmed:
		p.Events = append(p.Events, event{At: conversion.FinishedAt.Local(), Kind: "confirmed", Order: e.Order, Who: e.Who, Tracking: e.Tracking})
	default:
		e.Error = conversion.Reason
	}
	e.State = conversion.State
	return nil
}

// scanEvent reads an event. The step only orders the events of one millisecond.
func scanEvent(rows *sql.Rows) (e event, err error) {
	var step, at int64
	if err := rows.Scan(&step, &at, &e.Kind, &e.Order, &e.Who, &e.Tracking); err != nil {
		return e, err
	}
	e.At, e.Who = time.UnixMilli(at), masked(e.Who)
	return e, nil
}

// masked shortens an email, so that it is recognized but not shown.
func masked(email string) string {
	name, domain, ok := strings.Cut(email, "@")
	if !ok {
		return email
	}
	_, first := utf8.DecodeRuneInString(name)
	return name[:first] + "…@" + domain
}
