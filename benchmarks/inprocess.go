package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/internal/pacing"
)

// atOnce is the number of short tasks in one call, which hides the cost of the
// call.
const atOnce = 100

// Names of the tasks without a server.
const (
	rateAllow       = "`rate.Limiter.Allow`"
	pacingWait      = "this SDK's decision"
	urlQuery        = "`URL.Query()`"
	capturePlain    = "capture"
	captureCookies  = "capture, with six foreign cookies"
	foreignPage     = "https://shop.example/article?utm_source=newsletter&utm_medium=email&page=2"
	foreignCookies  = "session=4f1c2b9a0d7e; theme=dark; lang=en; _ga=GA1.1.1234567.1700000000; consent=yes; cart=3"
	pacingRequests  = 120
	pacingWindow    = time.Microsecond // never full: 120 decisions take longer
	allowsPerSecond = 1e9
)

// pacingTasks decide whether a request may go, at limits that are never
// reached.
func pacingTasks() []task {
	limiter := rate.NewLimiter(allowsPerSecond, pacingRequests)
	log := pacing.New(pacingRequests, pacingWindow)
	return []task{
		{rateAllow, func(context.Context) error {
			for range atOnce {
				if !limiter.Allow() {
					return errors.New("not allowed")
				}
			}
			return nil
		}},
		{pacingWait, func(ctx context.Context) error {
			for range atOnce {
				if err := log.Wait(ctx); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// captureTasks read a request without SparkLoop's parameters.
func captureTasks() ([]task, error) {
	c, err := capture.New(capture.Options{CleanURL: true})
	if err != nil {
		return nil, err
	}
	handler := c.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	page, err := http.NewRequestWithContext(context.Background(), http.MethodGet, foreignPage, nil)
	if err != nil {
		return nil, err
	}
	page.RequestURI = page.URL.RequestURI()
	withCookies := page.Clone(context.Background())
	withCookies.Header.Set("Cookie", foreignCookies)
	view := func(r *http.Request) call {
		w := unwritten{http.Header{}}
		return func(context.Context) error {
			for range atOnce {
				handler.ServeHTTP(w, r)
			}
			return nil
		}
	}
	return []task{
		{urlQuery, func(context.Context) error {
			for range atOnce {
				if len(page.URL.Query()) != 3 {
					return errors.New("not three parameters")
				}
			}
			return nil
		}},
		{capturePlain, view(page)},
		{captureCookies, view(withCookies)},
	}, nil
}

// unwritten discards a response.
type unwritten struct{ header http.Header }

func (w unwritten) Header() http.Header         { return w.header }
func (w unwritten) Write(p []byte) (int, error) { return len(p), nil }
func (w unwritten) WriteHeader(int)             {}
