package story

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// Visitor is a reader with a browser.
type Visitor struct {
	Tracking sparkloop.Tracking // of the last click
	Landing  string             // the URL that SparkLoop sent the browser to

	story   *Story
	browser *http.Client
}

// Answer is what a page answered.
type Answer struct {
	Status string
	Body   string
	Took   time.Duration
}

// Visitor is a new reader, who has no cookie yet.
func (s *Story) Visitor() *Visitor { return &Visitor{story: s, browser: NewBrowser()} }

// Click clicks on an offer in a newsletter, and follows SparkLoop's redirect to
// the landing page. An empty offer is the fake's own.
func (v *Visitor) Click(offer, page string) Answer {
	v.Landing, v.Tracking = v.story.API.Click(offer, page)
	return v.Open(v.Landing)
}

// Open opens a page.
func (v *Visitor) Open(page string) Answer {
	return v.send(Must(http.NewRequestWithContext(v.story.Ctx, http.MethodGet, page, nil)))
}

// Submit sends a form.
func (v *Visitor) Submit(page string, form url.Values) Answer {
	r := Must(http.NewRequestWithContext(v.story.Ctx, http.MethodPost, page, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.send(r)
}

func (v *Visitor) send(r *http.Request) Answer {
	start := time.Now()
	resp := Must(v.browser.Do(r)) //nolint:bodyclose // closed below
	defer resp.Body.Close()
	body := Must(io.ReadAll(resp.Body))
	return Answer{resp.Status, strings.TrimSpace(string(body)), time.Since(start).Round(100 * time.Microsecond)}
}

// OK ends the story if the page answered with an error.
func (a Answer) OK() Answer {
	if !strings.HasPrefix(a.Status, "2") {
		Check(fmt.Errorf("the page answered %s: %s", a.Status, a.Body))
	}
	return a
}

// NewBrowser returns a client that follows redirects and keeps cookies.
func NewBrowser() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails
	return &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
}
