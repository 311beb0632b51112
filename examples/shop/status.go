package main

import (
	"context"
	"database/sql"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparkloop-go/sparkloop"
)

// event is a line of the status page.
type event struct {
	At       time.Time
	Kind     string // click, signup, order, confirmed
	Order    string
	Who      string
	Tracking sparkloop.Tracking
	State    string // an order's
	Error    string
}

// statusPage is the newest events and the sums.
type statusPage struct {
	Paused                                               bool
	Clicks, Signups, Orders, Confirmed, Pending, Refused int
	Events                                               []event
}

// status shows what happens as it does: the page loads itself again every two
// seconds, unless ?paused. It shows no names, and yet a shop on the open
// internet would ask for a sign-in here.
func (s *shop) status(w http.ResponseWriter, r *http.Request) {
	data, err := s.store.statusPage(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	data.Paused = r.URL.Query().Has("paused")
	s.render(w, r, http.StatusOK, "status", data)
}

// statusPage reads it all from the rows that there are anyway.
func (s *store) statusPage(ctx context.Context) (p statusPage, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM clicks),
		(SELECT count(*) FROM users),
		count(*),
		count(*) FILTER (WHERE state = 'confirmed'),
		count(*) FILTER (WHERE state = 'pending'),
		count(*) FILTER (WHERE state = 'refused')
		FROM orders`).Scan(&p.Clicks, &p.Signups, &p.Orders, &p.Confirmed, &p.Pending, &p.Refused)
	if err != nil {
		return p, err
	}
	p.Events, err = query(ctx, s, scanEvent, `
		SELECT 1 AS step, created AS at, 'click' AS kind, '' AS id, '' AS email, tracking, '' AS state, '' AS error FROM clicks
		UNION ALL
		SELECT 2, created, 'signup', '', email, tracking, '', '' FROM users
		UNION ALL
		SELECT 3, created, 'order', id, email, tracking, state, error FROM orders
		UNION ALL
		SELECT 4, confirmed_at, 'confirmed', id, email, tracking, '', '' FROM orders WHERE confirmed_at IS NOT NULL
		ORDER BY at DESC, step DESC LIMIT 50`)
	return p, err
}

// scanEvent reads an event. The step has done its work: within a millisecond it
// tells what came first.
func scanEvent(rows *sql.Rows) (e event, err error) {
	var step, at int64
	if err := rows.Scan(&step, &at, &e.Kind, &e.Order, &e.Who, &e.Tracking, &e.State, &e.Error); err != nil {
		return e, err
	}
	e.At, e.Who = time.UnixMilli(at), masked(e.Who)
	return e, nil
}

// masked leaves of an email what is enough to know it again.
func masked(email string) string {
	name, domain, ok := strings.Cut(email, "@")
	if !ok {
		return email
	}
	_, first := utf8.DecodeRuneInString(name)
	return name[:first] + "…@" + domain
}
