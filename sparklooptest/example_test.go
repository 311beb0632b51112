package sparklooptest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// A click and its confirmation. In a test, use NewServer(t): it closes the
// server and reports misuse.
func Example() {
	api := sparklooptest.New()
	defer api.Close()

	landing, tracking := api.Click("", "https://shop.example/welcome?utm_source=news")
	fmt.Println(strings.ReplaceAll(landing, tracking.Submission, "submission_..."))

	_, err := api.Client().Conversions.Confirm(context.Background(), tracking)
	fmt.Println(api.Confirmed(tracking), err)
	// Output:
	// https://shop.example/welcome?utm_source=news&submission=submission_...&offer=offer_1234abcd
	// true <nil>
}

// The answer to a confirmation is lost. The client retries, and the conversion
// counts once.
func ExampleServer_Fail() {
	api := sparklooptest.New()
	defer api.Close()
	_, tracking := api.Click("", "")

	api.Fail(sparklooptest.LostAnswer(), 1)
	confirmation, err := api.Client().Conversions.Confirm(context.Background(), tracking)
	fmt.Println(err)
	fmt.Println("already confirmed:", confirmation.AlreadyConfirmed)
	fmt.Println("requests:", len(api.Requests()))
	// Output:
	// <nil>
	// already confirmed: true
	// requests: 2
}

// Test how your program behaves during and after an outage of SparkLoop.
func ExampleServer_Fail_outage() {
	api := sparklooptest.New()
	defer api.Close()
	_, tracking := api.Click("", "")
	client := api.Client(sparkloop.WithRetries(0))

	api.Fail(sparklooptest.Status(503, ""), -1) // every request from now on
	_, err := client.Conversions.Confirm(context.Background(), tracking)
	fmt.Println("try again later:", sparkloop.Retryable(err))

	api.Fail(sparklooptest.Fault{}, 0) // the outage is over
	_, err = client.Conversions.Confirm(context.Background(), tracking)
	fmt.Println(err)
	// Output:
	// try again later: true
	// <nil>
}

// A landing URL with a made-up submission. SparkLoop's refusal is final.
func ExampleServer_Client() {
	api := sparklooptest.New()
	defer api.Close()

	made := sparkloop.Tracking{Offer: sparklooptest.DefaultOffer, Submission: "made_up"}
	_, err := api.Client().Conversions.Confirm(context.Background(), made)
	fmt.Println(err)
	fmt.Println(errors.Is(err, sparkloop.ErrSubmissionNotFound), sparkloop.Retryable(err))
	// Output:
	// sparkloop: confirm offer_1234abcd/made_up: 404 Submission not found
	// true false
}

// A test of your own handler, which enqueues after a purchase.
func ExampleServer_WaitConfirmed() {
	api := sparklooptest.New() // in a test: sparklooptest.NewServer(t)
	defer api.Close()
	client := api.Client()
	buy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // your handler
		tracking, err := sparkloop.DecodeTracking(r.FormValue("tracking"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		go func() { // your outbox
			if _, err := client.Conversions.Confirm(context.WithoutCancel(r.Context()), tracking); err != nil {
				fmt.Println(err)
			}
		}()
	})
	_, tracking := api.Click("", "https://shop.example/welcome")

	answer := httptest.NewRecorder()
	buy.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/buy?tracking="+tracking.Encode(), nil))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(answer.Code, api.WaitConfirmed(ctx, tracking))
	// Output:
	// 200 <nil>
}

// Move the server's clock 46 days ahead, without waiting.
func ExampleServer_Advance() {
	api := sparklooptest.New()
	defer api.Close()
	_, tracking := api.Click("", "")

	api.Advance(46 * 24 * time.Hour)
	_, err := api.Client().Conversions.Confirm(context.Background(), tracking)
	if refused, ok := errors.AsType[*sparkloop.Error](err); ok {
		fmt.Println(refused.StatusCode, refused.Message)
	}
	// Output:
	// 422 Offer submission has expired
}

// An offer that pays for a lead cannot be confirmed.
func ExampleServer_AddOffer() {
	api := sparklooptest.New()
	defer api.Close()

	offer := api.AddOffer(sparkloop.Offer{UUID: "offer_lead", Name: "Newsletter", ConversionType: sparkloop.ConversionLead})
	_, tracking := api.Click(offer.UUID, "https://shop.example/")
	_, err := api.Client().Conversions.Confirm(context.Background(), tracking)
	fmt.Println(errors.Is(err, sparkloop.ErrNotActionOffer))
	// Output:
	// true
}

// A server with an address, for a program with its own client.
func ExampleStart() {
	api, err := sparklooptest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()

	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(api.URL()))
	if err != nil {
		fmt.Println(err)
		return
	}
	for offer, err := range client.Offers.All(context.Background()) {
		fmt.Println(offer.UUID, offer.ConversionType, err)
	}
	// Output:
	// offer_1234abcd action <nil>
}
