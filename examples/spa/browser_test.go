package main

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/examples/internal/browser"
)

// The hosts. Page and API are one site; the others are two more.
const (
	pageHost   = "app.example.test"
	apiHost    = "api.example.test"
	clickHost  = "click.example.net"
	payHost    = "pay.example.org"
	letterHost = "letter.example.org"
)

// sites is the stage on the web, over https.
type sites struct {
	*stage

	web   *browser.Site
	api   atomic.Bool // whether the API can be reached
	offer string      // of the newsletter's link
}

func newSites(t *testing.T) *sites {
	t.Helper()
	s := &sites{}
	s.api.Store(true)
	var pageHandler http.Handler
	d := &demo{secret: secret, http: http.DefaultClient}
	s.web = browser.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch host := browser.Host(r); {
		case host == pageHost:
			pageHandler.ServeHTTP(w, r)
		case host == apiHost && s.api.Load():
			s.stage.api.handler().ServeHTTP(w, r)
		case host == clickHost:
			d.click(w, r)
		case host == payHost && r.Method == http.MethodPost:
			d.pay(w, r)
		case host == payHost:
			d.payForm(w, r)
		case host == letterHost:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<!doctype html><title>A letter</title><a id="link" href="%s">Have a look</a>`,
				html.EscapeString(s.web.URL(clickHost, "/?offer="+s.offer)))
		default:
			panic(http.ErrAbortHandler) // the network is down
		}
	}))
	s.stage = newStage(t, s.web.URL(pageHost, ""))
	s.stage.api.pay = s.web.URL(payHost, "/")
	pageHandler = page(s.web.URL(apiHost, ""))
	d.fake, d.page, d.api = s.fake, s.web.URL(pageHost, ""), s.url
	return s
}

// app is a tab with the page in it.
type app struct {
	*browser.Tab

	s *sites
}

// read clicks on the newsletter's link, and returns the click that SparkLoop has
// noted.
func (a app) read() sparkloop.Tracking {
	a.Open(a.s.web.URL(letterHost, "/"))
	a.Click("#link")
	a.Sees("#view h1")
	all := a.s.fake.Submissions()
	return all[len(all)-1].Tracking
}

func (a app) consents() {
	a.Sees("#consent")
	a.Press("#consent button[value=yes]")
	a.Misses("#consent:not([hidden])")
}

func (a app) signUp() {
	a.Press("[data-start]")
	a.Sees("[data-view=signup]")
	a.Type("#email", reader)
	a.Press("#view form button")
	a.Sees("[data-view=checkout]")
}

// pays goes to the payment site and comes back.
func (a app) pays() {
	a.Press("#view form button")
	a.Sees("#pay")
	a.Click("#pay")
	a.Sees("[data-view=thanks]")
}

func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := browser.Start(t)
	for name, story := range map[string]func(*testing.T, *sites, app){
		"two clicks, two purchases":           twoPurchases,
		"the old URL again, then a new click": oldURLAgain,
		"consent refused":                     consentRefused,
		"an API that is down at the landing":  apiIsDown,
		"a reload before the consent":         reloadBeforeConsent,
		"SparkLoop's script was there first":  scriptWasFirst,
		"an origin that is not trusted":       originNotTrusted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSites(t)
			story(t, s, app{b.Tab(t), s})
		})
	}
}

func twoPurchases(t *testing.T, s *sites, a app) {
	first := a.read()
	assert.Contains(t, a.At(), first.Submission, "the IDs are in the URL until they are stored")
	assert.Empty(t, a.Cookies(s.web.URL(apiHost, "/")), "nothing is stored before the answer")
	a.consents()
	assert.Equal(t, s.web.URL(pageHost, "/?utm_source=newsletter"), a.At())
	api, onPage := s.web.URL(apiHost, "/"), s.web.URL(pageHost, "/")
	cookie := a.Cookies(api)[browser.TrackingCookie]
	assert.True(t, cookie.HTTPOnly && cookie.Secure)
	assert.Equal(t, apiHost, cookie.Domain)
	a.Keeps(api, first)
	assert.Empty(t, a.Cookies(onPage), "the page's own host has no cookie")
	assert.Empty(t, a.Eval("document.cookie"))

	a.signUp()
	assert.Equal(t, first.Key(), s.row().Key())
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(first)
	a.Keeps(api, first) // a webhook clears no cookie

	second := a.read()
	a.Keeps(api, second)
	a.Press("[data-start]")
	a.Sees("[data-view=checkout]")
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(second)
	assert.Len(t, s.fake.Requests(), 2)
}

func oldURLAgain(t *testing.T, s *sites, a app) {
	first := a.read()
	old := a.At()
	a.consents()
	a.signUp()
	a.pays()
	s.confirmed(first)
	a.Open(old) // a bookmark, a restored tab
	a.Sees("[data-view=home]")
	second := a.read()
	a.Press("[data-start]")
	a.Sees("[data-view=checkout]")
	a.Open(old)
	a.Press("[data-start]")
	a.Sees("[data-view=checkout]")
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(second)
}

func consentRefused(t *testing.T, s *sites, a app) {
	a.read()
	a.Sees("#consent")
	a.Press("#consent button[value=no]")
	a.Misses("#consent:not([hidden])")
	assert.Equal(t, s.web.URL(pageHost, "/?utm_source=newsletter"), a.At())
	a.signUp()
	a.pays()
	a.Sees("#paid")
	a.Keeps(s.web.URL(apiHost, "/"))
	assert.Empty(t, s.fake.Requests())
}

func apiIsDown(t *testing.T, s *sites, a app) {
	s.api.Store(false)
	first := a.read()
	a.Sees("#problem:not(:empty)")
	assert.Contains(t, a.At(), first.Submission, "it waits in the address bar")
	s.api.Store(true)
	a.signUp() // calls /visit again
	a.consents()
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(first)
}

func reloadBeforeConsent(t *testing.T, s *sites, a app) {
	first := a.read()
	a.signUp()
	assert.True(t, s.row().IsZero())
	a.Open(a.At())
	a.consents()
	a.Sees("[data-view=checkout]")
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(first)
}

// SparkLoop's own script keeps the first click in a cookie on the whole domain.
// Both must confirm the same one, or the purchase is paid twice.
func scriptWasFirst(t *testing.T, s *sites, a app) {
	_, first := s.fake.Click("", "")
	a.Open(s.web.URL(pageHost, "/"))
	a.Eval(`document.cookie = "sl_submission_` + first.Offer + `=` + first.Submission + `; domain=example.test; path=/; max-age=2592000; SameSite=Lax"`)
	second := a.read()
	a.consents()
	a.signUp()
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(first)
	assert.False(t, s.fake.Confirmed(second))

	// The script's cookie stays for 30 days. The next click counts all the same.
	third := a.read()
	a.Press("[data-start]")
	a.Sees("[data-view=checkout]")
	a.pays()
	a.Sees("#state[data-state=confirmed]")
	s.confirmed(third)
}

// The browser itself keeps the answers from other origins, and says so.
func originNotTrusted(t *testing.T, s *sites, a app) {
	s.stage.api.page = "https://another.example.test"
	a.read()
	a.Sees("#problem:not(:empty)")
	a.Keeps(s.web.URL(apiHost, "/"))
}

// TestScreens takes pictures, which people may look at:
//
//	SPA_SCREENS=/tmp/spa go test -run Screens ./spa
func TestScreens(t *testing.T) {
	t.Parallel()
	browser.Screens(t, browser.Start(t), os.Getenv("SPA_SCREENS"), func(b *browser.Tab, take func(string, bool)) {
		a := app{b, newSites(t)}
		a.read()
		a.Sees("#consent")
		take("home-consent", true)
		a.consents()
		take("home", false)
		a.Press("[data-start]")
		a.Sees("[data-view=signup]")
		a.Eval(`document.querySelector("#view form").noValidate = true; ""`)
		a.Type("#email", "reader@x..y")
		a.Press("#view form button")
		a.Sees("#problem:not(:empty)")
		take("signup-problem", false)
		a.Open(a.s.web.URL(pageHost, "/"))
		a.signUp()
		take("checkout", false)
		a.pays()
		a.Sees("#state[data-state=confirmed]")
		take("thanks", false)
	})
}

func TestThePage(t *testing.T) {
	t.Parallel()
	h := page("https://api.example.test")
	for path, want := range map[string]string{"/": `data-api="https://api.example.test"`, "/thanks?order=1": `data-api=`, "/web/app.js": "api.js", "/web/api.js": "include"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.Contains(t, w.Body.String(), want, path)
		assert.True(t, strings.HasSuffix(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'"))
	}
}
