package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sparkloop-go/sparkloop"
)

// findings are the lines of "sparkloop check".
type findings struct {
	table table.Writer
	bad   bool
}

func (r *findings) ok(what, format string, args ...any) {
	r.table.AppendRow(cells("ok", what, fmt.Sprintf(format, args...)))
}

// fail adds a failure and its remedy, in one line.
func (r *findings) fail(what, format string, args ...any) {
	r.bad = true
	r.table.AppendRow(cells("FAIL", what, fmt.Sprintf(format, args...)))
}

// unknown adds a check that an earlier failure prevented.
func (r *findings) unknown(what string) {
	r.bad = true
	r.table.AppendRow(cells("?", what, "unknown because of the failure above"))
}

func (r *findings) key(err error) {
	switch {
	case err == nil:
		r.ok("key", "accepted")
	case errors.Is(err, sparkloop.ErrUnauthorized):
		r.fail("key", "rejected (401): correct SPARKLOOP_API_KEY; the dashboard of SparkLoop shows the key")
	default:
		r.table.AppendRow(cells("?", "key", "unknown: see the address"))
	}
}

func (r *findings) address(seen *witness, base string, err error) {
	var answered *answer // the last answer of the call
	for i := range seen.answers {
		if a := &seen.answers[i]; err == nil && a.status < 300 || err != nil && a.json && a.status == http.StatusUnauthorized {
			answered = a
			break
		}
	}
	switch {
	case err == nil && answered != nil:
		r.ok("address", "%s answers; the first confirmation finds the spelling of the conversion endpoint", answered.base)
	case errors.Is(err, sparkloop.ErrUnauthorized) && answered != nil:
		r.ok("address", "%s answers", answered.base)
	default:
		r.fail("address", "%s", addressProblem(seen, base, err))
	}
}

// addressProblem returns the problem and its remedy, in one line.
func addressProblem(seen *witness, base string, err error) string {
	var e *sparkloop.Error
	errors.As(err, &e)
	why := oneLine(err)
	_, asked := sparkloop.RetryAfter(err)
	switch {
	case seen.sent > 0 && len(seen.answers) == 0:
		return fmt.Sprintf("%s does not answer: check the network, DNS, firewall and proxy (%s)", printable(base, maxID), why)
	case errors.Is(err, sparkloop.ErrRateLimited), asked:
		return "too many requests: try again in a minute (" + why + ")"
	case errors.Is(err, sparkloop.ErrEndpointNotFound), errors.Is(err, sparkloop.ErrUnexpectedResponse):
		return "the answer is not from SparkLoop's API: correct SPARKLOOP_BASE_URL, check proxies and firewalls (" + why + ")"
	case e != nil && e.StatusCode >= 500:
		return "SparkLoop fails: try again later (" + why + ")"
	case e != nil && e.StatusCode == 403:
		return "access denied: a firewall, or an account without API access; ask SparkLoop's support (" + why + ")"
	}
	return "no list of offers: try again later, then ask SparkLoop's support (" + why + ")"
}

func (r *findings) clock(seen *witness) {
	for _, a := range seen.answers {
		if a.date.IsZero() {
			continue
		}
		// The server's time has whole seconds; half a second is the middle.
		skew := a.at.Sub(a.date.Add(time.Second / 2)).Round(time.Second)
		switch {
		case skew > skewMost:
			r.fail("clock", "%s ahead of the server: set this machine's clock, for example with NTP; clicks expire by it", skew)
		case skew < -skewMost:
			r.fail("clock", "%s behind the server: set this machine's clock, for example with NTP; clicks expire by it", -skew)
		default:
			r.ok("clock", "right, within %s of the server's", max(skew.Abs(), time.Second))
		}
		return
	}
	if len(seen.answers) > 0 {
		r.fail("clock", "the server sends no Date: check proxies on the way, and this machine's clock by hand")
		return
	}
	r.unknown("clock")
}

func (r *findings) offers(offers []sparkloop.Offer, err error) {
	actions := 0
	for _, o := range offers {
		if o.ConversionType == sparkloop.ConversionAction {
			actions++
		}
	}
	switch {
	case err != nil:
		r.unknown("offers")
	case len(offers) == 0:
		r.fail("offers", "none: create an Action offer in SparkLoop's dashboard, or use the key of the account that has one")
	case actions == 0:
		r.fail("offers", "%s, none of the type action: only conversions of Action offers can be confirmed", count(len(offers), "offer"))
	default:
		r.ok("offers", "%s, %s of the type action", count(len(offers), "offer"), fmt.Sprint(actions))
	}
}

// oneLine returns an error's text without line breaks and control characters.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return printable(strings.Join(strings.Fields(err.Error()), " "), 300)
}
