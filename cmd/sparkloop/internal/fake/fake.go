// Package fake serves a fake SparkLoop for development and staging, in any
// language: the API of package sparklooptest on an address, and a page to
// inspect and control it.
package fake

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	pageTemplate = template.Must(template.New("page").Parse(pageHTML))
)

// Options are the settings of a fake.
type Options struct {
	Key     string // the only accepted key; default "test-key"
	Limit   int    // requests in a minute; 0 is no limit
	State   string // file that stores offers and submissions; "" for none
	Landing string // landing page of clicks without ?to=; "" is the offer's own address
}

// Fake is an http.Handler with the API and its page.
type Fake struct {
	api     *sparklooptest.Server
	o       Options
	mux     *http.ServeMux
	policy  string
	saving  sync.Mutex
	problem error // of saving
}

// New returns a fake with the content of its state file.
func New(o Options) (*Fake, error) {
	if o.Key == "" {
		o.Key = sparklooptest.APIKey
	}
	if o.Landing != "" {
		if err := checkLanding(o.Landing); err != nil {
			return nil, err
		}
	}
	style := sha256.Sum256([]byte(pageCSS))
	f := &Fake{
		api: sparklooptest.New(sparklooptest.WithAPIKey(o.Key), sparklooptest.WithRateLimit(o.Limit, minute)),
		o:   o,
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(style[:]) +
			"'; base-uri 'none'; frame-ancestors 'none'",
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", f.page)
	pages.HandleFunc("GET /state.json", f.state)
	pages.HandleFunc("GET /click/{offer}", f.click)
	pages.HandleFunc("POST /faults", f.setFault)
	pages.HandleFunc("POST /offers", f.addOffer)
	f.mux = http.NewServeMux()
	f.mux.HandleFunc("/api/", f.serveAPI)
	f.mux.HandleFunc("/v2/", f.serveAPI)
	f.mux.Handle("/", http.NewCrossOriginProtection().Handler(pages))
	return f, nil
}

// Close breaks off all delayed answers.
func (f *Fake) Close() { f.api.Close() }

// ServeHTTP implements [http.Handler].
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// serveAPI serves a request to the API. Changes are saved before the answer
// begins, so that an answered confirmation survives a crash.
func (f *Fake) serveAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && f.o.State != "" {
		w = &saver{ResponseWriter: w, save: sync.OnceFunc(f.save)}
	}
	f.api.ServeHTTP(w, r)
}

// Fail turns on a fault, and turns off the previous one.
func (f *Fake) Fail(spec string) error {
	fault, times, err := ParseFault(spec)
	if err != nil {
		return err
	}
	f.api.Fail(sparklooptest.Fault{}, 0)
	if times != 0 {
		f.api.Fail(fault, times)
	}
	return nil
}

func (f *Fake) setFault(w http.ResponseWriter, r *http.Request) {
	spec := r.PostFormValue("fault")
	if detail := strings.TrimSpace(r.PostFormValue("detail")); detail != "" {
		spec += "=" + detail
	}
	if times := strings.TrimSpace(r.PostFormValue("times")); times != "" {
		spec += ":" + times
	}
	if err := f.Fail(spec); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (f *Fake) addOffer(w http.ResponseWriter, r *http.Request) {
	o := sparkloop.Offer{
		Name:           strings.TrimSpace(r.PostFormValue("name")),
		RedirectURL:    strings.TrimSpace(r.PostFormValue("landing")),
		ConversionType: sparkloop.ConversionType(r.PostFormValue("type")),
	}
	if o.Name == "" || len(o.Name) > 100 {
		http.Error(w, "An offer needs a name of at most 100 characters.", http.StatusBadRequest)
		return
	}
	if o.RedirectURL != "" {
		if err := checkLanding(o.RedirectURL); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	switch o.ConversionType {
	case sparkloop.ConversionAction, sparkloop.ConversionLead, sparkloop.ConversionClick:
	default:
		http.Error(w, "The type must be action, lead or click.", http.StatusBadRequest)
		return
	}
	f.api.AddOffer(o)
	f.save()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// click is a visitor's click on an offer: it redirects to the landing page as
// SparkLoop does.
func (f *Fake) click(w http.ResponseWriter, r *http.Request) {
	id, landing := r.PathValue("offer"), r.URL.Query().Get("to")
	if landing == "" {
		landing = f.o.Landing
	}
	if landing != "" {
		if err := checkLanding(landing); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	known := false
	for _, o := range f.api.Offers() {
		known = known || o.UUID == id
	}
	if !known {
		http.Error(w, "There is no offer with this ID.", http.StatusNotFound)
		return
	}
	to, _ := f.api.Click(id, landing)
	f.save()
	w.Header().Set("Cache-Control", "no-store") // each click creates a submission
	http.Redirect(w, r, to, http.StatusFound)   //nolint:gosec // that is what a click does, and scripts are refused
}

// checkLanding rejects an address that cannot be a page's.
func checkLanding(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not a landing page: it must begin with http:// or https://", address)
	}
	return nil
}

// state serves the page's data as JSON.
func (f *Fake) state(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(f.view(), "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(body, '\n')) //nolint:errcheck // the client has gone
}

// ParseFault reads "NAME" or "NAME=DETAIL", optionally followed by ":TIMES".
// Without TIMES the fault applies to every request. "none" turns faults off.
func ParseFault(spec string) (sparklooptest.Fault, int, error) {
	spec, number, limited := strings.Cut(strings.TrimSpace(spec), ":")
	times := -1
	if limited {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return sparklooptest.Fault{}, 0, fmt.Errorf("%q is not a number of requests", number)
		}
		times = n
	}
	name, detail, _ := strings.Cut(spec, "=")
	if name == "none" {
		return sparklooptest.Fault{}, 0, nil
	}
	for _, k := range faults {
		if k.Name != name {
			continue
		}
		if detail == "" {
			detail = k.Detail
		}
		fault, err := k.make(detail)
		return fault, times, err
	}
	return sparklooptest.Fault{}, 0, fmt.Errorf("%q is not a fault: choose from none, %s", name, strings.Join(FaultNames(), ", "))
}
