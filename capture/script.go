package capture

import (
	"net/http"
	"strings"

	"github.com/sparkloop-go/sparkloop"
)

// Cookies of SparkLoop's own script, which are only read.
const (
	scriptSubmission = "sl_submission_"
	scriptTest       = "sl_test_"
)

// scriptClicks returns the clicks in the cookies of SparkLoop's script, at most
// one per offer.
func (c *Capture) scriptClicks(r *http.Request) []sparkloop.Tracking {
	var clicks []sparkloop.Tracking
	tests := make(map[string]bool)
	for cookie := range cookies(r) {
		name, value, _ := strings.Cut(cookie, "=")
		value = strings.Trim(strings.TrimRight(value, " \t"), `"`)
		if offer, ok := strings.CutPrefix(name, scriptTest); ok {
			tests[offer] = value == "true" || value == "1"
		}
		offer, ok := strings.CutPrefix(name, scriptSubmission)
		if !ok || len(clicks) == mostOffers || find(clicks, offer) >= 0 {
			continue
		}
		t := sparkloop.Tracking{Offer: offer, Submission: value, CapturedAt: c.now()}
		if offer != "" && value != "" && c.acceptable(t) == nil {
			clicks = append(clicks, t)
		}
	}
	for i := range clicks {
		clicks[i].Test = tests[clicks[i].Offer]
	}
	return clicks
}

// takeScript adds the script's clicks. A stored click that differs is replaced:
// else two different submissions would both be confirmed. A script's click
// never evicts another offer, because the script sends it with every request.
func (c *Capture) takeScript(v *visit, r *http.Request, clicks []sparkloop.Tracking) {
	for _, t := range clicks {
		old, stored := v.has(t.Offer, false)
		switch {
		case v.knows(t), stored && old.Submission == t.Submission, stored && t.Test && !old.Test:
		case !c.allows(r), !stored && v.count() >= c.opts.MaxOffers:
			v.show(t)
		default:
			c.store(v, r, t)
		}
	}
}
