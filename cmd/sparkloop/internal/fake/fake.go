// Package fake is a SparkLoop to develop and stage against, in any language: the
// API of package sparklooptest on an address, and a page to see and steer it.
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

// Options are settings of a fake.
type Options struct {
	Key     string // the only one that the API accepts; default "test-key"
	Limit   int    // requests in a minute; 0 is no limit
	State   string // a file that keeps offers and submissions, "" for none
	Landing string // where clicks land if the link does not say; "" is the offer's own address
}

// Fake is the API and its page: an http.Handler.
type Fake struct {
	api     *sparklooptest.Server
	o       Options
	mux     *http.ServeMux
	policy  string
	saving  sync.Mutex
	problem error // of saving
}

// New returns a fake, with what its state file holds.
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

// Close ends every answer that is still held back.
func (f *Fake) Close() { f.api.Close() }

// ServeHTTP implements [http.Handler].
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// serveAPI answers a request to the API. What it changed is saved before the
// answer begins: whoever was told of a confirmation finds it after a crash.
func (f *Fake) serveAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && f.o.State != "" {
		w = &saver{ResponseWriter: w, save: sync.OnceFunc(f.save)}
	}
	f.api.ServeHTTP(w, r)
}

// Fail switches a fault on, in place of the one before.
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
		http.Error(w, "The type is action, lead or click.", http.StatusBadRequest)
		return
	}
	f.api.AddOffer(o)
	f.save()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// click is a reader's click on an offer: it answers with SparkLoop's redirect to
// the landing page.
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
	w.Header().Set("Cache-Control", "no-store") // each click is another submission
	http.Redirect(w, r, to, http.StatusFound)   //nolint:gosec // that is what a click does, and scripts are refused
}

// checkLanding refuses what is no address of a page.
func checkLanding(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no address of a landing page: it begins with http:// or https://", address)
	}
	return nil
}

// state is the page for programs.
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

// ParseFault reads "NAME", "NAME=DETAIL", each with ":TIMES" behind it. Without
// TIMES the fault meets every request. "none" is 0 times.
func ParseFault(spec string) (sparklooptest.Fault, int, error) {
	spec, number, limited := strings.Cut(strings.TrimSpace(spec), ":")
	times := -1
	if limited {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return sparklooptest.Fault{}, 0, fmt.Errorf("%q is no number of times", number)
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
	return sparklooptest.Fault{}, 0, fmt.Errorf("%q is no fault; there are none, %s", name, strings.Join(FaultNames(), ", "))
}
