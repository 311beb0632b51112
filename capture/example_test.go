package capture_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
)

// visitor opens pages of the site with one browser, and prints the answers.
func visitor(site http.Handler) (open func(path string), leave func()) {
	server := httptest.NewServer(site)
	jar, _ := cookiejar.New(nil) // never fails
	browser := &http.Client{Jar: jar}
	return func(path string) {
		resp, err := browser.Get(server.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		fmt.Printf("%s", body)
	}, server.Close
}

// The middleware stores the IDs of a landing URL in a cookie. Handlers read them
// from the context of any later request.
func Example() {
	keep, err := capture.New(capture.Options{}) // with an outbox: Enqueued: outbox.Enqueued(queue)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Welcome!") })
	mux.HandleFunc("GET /signup", func(w http.ResponseWriter, r *http.Request) {
		tracking, ok := capture.FromContext(r.Context())
		fmt.Fprintln(w, tracking, ok) // store it with the user
	})
	site := keep.Handler(mux) // around all pages

	open, leave := visitor(site)
	defer leave()
	open("/signup")
	open("/welcome?utm_source=news&submission=submission_1&offer=offer_1234abcd")
	open("/signup")
	// Output:
	//  false
	// Welcome!
	// offer_1234abcd/submission_1 true
}

// After the purchase, Clear marks the click as spent. The same URL is not captured
// again, and the next click counts.
func ExampleCapture_Clear() {
	keep, err := capture.New(capture.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /buy", func(w http.ResponseWriter, r *http.Request) {
		tracking, ok := capture.FromContext(r.Context())
		keep.Clear(w, r, tracking.Offer) // before anything is written
		fmt.Fprintln(w, tracking, ok)
	})

	open, leave := visitor(keep.Handler(mux))
	defer leave()
	const click = "/welcome?offer=offer_1234abcd&submission="
	open(click + "first")
	open("/buy")
	open(click + "first") // from the browser's history
	open("/buy")
	open(click + "second")
	open("/buy")
	// Output:
	// offer_1234abcd/first true
	//  false
	// offer_1234abcd/second true
}

// The site sets a cookie only with consent. Until then, the page keeps the
// tracking. Save stores it when the visitor agrees.
func ExampleCapture_Save() {
	keep, err := capture.New(capture.Options{
		Allow: func(r *http.Request) bool {
			c, err := r.Cookie("consent")
			return err == nil && c.Value == "yes"
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var field string // a hidden field of the page's form
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(_ http.ResponseWriter, r *http.Request) {
		tracking, _ := capture.FromContext(r.Context()) // in this request only
		field = tracking.Encode()
	})
	mux.HandleFunc("GET /consent", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "consent", Value: "yes"})
		tracking, err := sparkloop.DecodeTracking(field)
		if err == nil {
			err = keep.Save(w, r, tracking)
		}
		fmt.Fprintln(w, "saved:", err)
	})
	mux.HandleFunc("GET /signup", func(w http.ResponseWriter, r *http.Request) {
		tracking, ok := capture.FromContext(r.Context())
		fmt.Fprintln(w, tracking, ok)
	})

	open, leave := visitor(keep.Handler(mux))
	defer leave()
	open("/welcome?submission=submission_1&offer=offer_1234abcd")
	open("/signup")
	open("/consent")
	open("/signup")
	// Output:
	//  false
	// saved: <nil>
	// offer_1234abcd/submission_1 true
}

// A shop with several offers takes the click on the offer that pays for the
// purchase.
func ExampleForOffer() {
	keep, err := capture.New(capture.Options{Offers: []string{"offer_book", "offer_course"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /welcome", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /buy/book", func(w http.ResponseWriter, r *http.Request) {
		tracking, ok := capture.ForOffer(r.Context(), "offer_book")
		fmt.Fprintln(w, tracking, ok)
	})

	open, leave := visitor(keep.Handler(mux))
	defer leave()
	open("/welcome?submission=first&offer=offer_book")
	open("/welcome?submission=second&offer=offer_course")
	open("/buy/book")
	// Output:
	// offer_book/first true
}
