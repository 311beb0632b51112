package fake

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// Limits of the page.
const (
	mostSubmissions = 200
	mostRequests    = 30
)

// view is the data of the page and of state.json.
type view struct {
	Address     string           `json:"address"`
	Faults      []string         `json:"faults"`
	Offers      []offerView      `json:"offers"`
	Submissions []submissionView `json:"submissions"` // newest first
	Requests    []requestView    `json:"requests"`    // newest first
	Problem     string           `json:"problem,omitempty"`

	Waiting, Confirmed, Expired int `json:"-"`
	More                        int `json:"-"` // submissions that are not shown

	Style template.CSS `json:"-"`
	Kinds []kind       `json:"-"`
	State string       `json:"-"`
}

type offerView struct {
	ID      string                   `json:"id"`
	Name    string                   `json:"name"`
	Type    sparkloop.ConversionType `json:"type"`
	Landing string                   `json:"landing"`
	Click   string                   `json:"click"`
}

type submissionView struct {
	ID          string    `json:"submission"`
	Offer       string    `json:"offer"`
	State       string    `json:"state"` // waiting, confirmed or expired
	ClickedAt   time.Time `json:"clicked_at"`
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"`
	Asked       int       `json:"asked"`          // requests since the start
	Last        string    `json:"last,omitempty"` // the last answer
}

type requestView struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Answer string    `json:"answer"`
}

func answer(status int) string {
	if status == 0 {
		return "none"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

func (f *Fake) view() view {
	v := view{
		Faults: f.api.Faults(), Offers: []offerView{}, Submissions: []submissionView{}, Requests: []requestView{},
		Kinds: faults, State: f.o.State,
	}
	if err := f.saveProblem(); err != nil {
		v.Problem = "The state cannot be saved: " + err.Error()
	}
	for _, o := range f.api.Offers() {
		landing := o.RedirectURL
		if f.o.Landing != "" {
			landing = f.o.Landing
		}
		v.Offers = append(v.Offers, offerView{o.UUID, o.Name, o.ConversionType, landing, "/click/" + o.UUID})
	}
	requests := f.api.Requests()
	asked, last := make(map[string]int), make(map[string]string)
	for i, r := range slices.Backward(requests) {
		if len(requests)-i <= mostRequests {
			v.Requests = append(v.Requests, requestView{r.Time, r.Method, r.Path, answer(r.Status)})
		}
		if parts := strings.Split(r.Path, "/"); r.Method == http.MethodPost && len(parts) > 3 {
			id := parts[len(parts)-2]
			if asked[id]++; asked[id] == 1 {
				last[id] = answer(r.Status)
			}
		}
	}
	all := f.api.Submissions()
	for _, s := range slices.Backward(all) {
		t := s.Tracking
		state := "waiting"
		switch {
		case !s.ConfirmedAt.IsZero():
			state = "confirmed"
			v.Confirmed++
		case time.Now().After(t.ExpiresAt()):
			state = "expired"
			v.Expired++
		default:
			v.Waiting++
		}
		v.Submissions = append(v.Submissions, submissionView{
			t.Submission, t.Offer, state, t.CapturedAt, s.ConfirmedAt, asked[t.Submission], last[t.Submission],
		})
	}
	return v
}

func (f *Fake) page(w http.ResponseWriter, r *http.Request) {
	v := f.view()
	v.Address = "http://" + r.Host + "/api/v2"
	v.Style = template.CSS(pageCSS) //nolint:gosec // embedded
	if len(v.Submissions) > mostSubmissions {
		v.More = len(v.Submissions) - mostSubmissions
		v.Submissions = v.Submissions[:mostSubmissions]
	}
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", f.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	text.WriteTo(w) //nolint:errcheck // the browser has gone
}
