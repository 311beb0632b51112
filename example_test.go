package sparkloop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// startAPI starts a fake SparkLoop for these examples.
func startAPI() *sparklooptest.Server {
	api, err := sparklooptest.Start()
	if err != nil {
		panic(err)
	}
	return api
}

func ExampleNew() {
	_, err := sparkloop.New("Bearer my-key")
	fmt.Println(err)

	client, err := sparkloop.New("my-key",
		sparkloop.WithTimeout(5*time.Second),
		sparkloop.WithUserAgent("acme-shop/2.1"),
	)
	fmt.Println(client != nil, err)
	// Output:
	// sparkloop: the API key has a space, a line break or a character outside ASCII: number 7 of 13
	// true <nil>
}

func ExampleOffersService_All() {
	api := startAPI()
	defer api.Close()
	api.AddOffer(sparkloop.Offer{Name: "Annual plan", ConversionEvent: "purchase", CPA: 12_500_000})
	client := api.Client()

	for offer, err := range client.Offers.All(context.Background()) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(offer.Name, offer.ConversionType, offer.ConversionEvent, offer.CPA)
	}
	// Output:
	// Annual plan action purchase $12.50
	// Free trial action trial $2.35
}

func ExampleConversionsService_Confirm() {
	api := startAPI()
	defer api.Close()
	client := api.Client()
	_, tracking := api.Click("", "https://shop.example/signup") // a click; in your program the tracking comes from the order's row

	for range 2 {
		confirmation, err := client.Conversions.Confirm(context.Background(), tracking)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(confirmation.Message, confirmation.AlreadyConfirmed)
	}
	// Output:
	// Conversion tracked successfully false
	// Offer submission must be unique true
}

func ExampleParseTracking() {
	tracking, err := sparkloop.ParseTracking("https://example.com/signup?submission=submission_1234abcd&offer=offer_1234abcd")
	fmt.Println(tracking.Offer, tracking.Submission, err)

	_, err = sparkloop.ParseTracking("https://example.com/signup")
	fmt.Println(errors.Is(err, sparkloop.ErrNoTracking))

	_, err = sparkloop.ParseTracking("https://example.com/signup?submission=..%2f..&offer=offer_1234abcd")
	fmt.Println(err)
	// Output:
	// offer_1234abcd submission_1234abcd <nil>
	// true
	// sparkloop: landing URL: invalid tracking: the submission id has characters other than letters, digits, _ and -
}

func ExampleError_notFound() {
	api := startAPI()
	defer api.Close()
	client := api.Client()

	_, err := client.Conversions.Confirm(context.Background(), sparkloop.Tracking{
		Offer:      sparklooptest.DefaultOffer,
		Submission: "submission_of_somebody_else",
	})
	fmt.Println(errors.Is(err, sparkloop.ErrSubmissionNotFound))
	fmt.Println(sparkloop.Retryable(err))
	fmt.Println(err)
	// Output:
	// true
	// false
	// sparkloop: confirm offer_1234abcd/submission_of_somebody_else: 404 Submission not found
}

func ExampleError_rateLimited() {
	api := startAPI()
	defer api.Close()
	client := api.Client(sparkloop.WithRetries(0))
	_, tracking := api.Click("", "")
	api.Fail(sparklooptest.Status(429, `{"error":"Too many requests"}`, "Retry-After", "20"), 1)

	_, err := client.Conversions.Confirm(context.Background(), tracking)
	if failed, ok := errors.AsType[*sparkloop.Error](err); ok {
		fmt.Println(failed.StatusCode, failed.Message)
	}
	fmt.Println(errors.Is(err, sparkloop.ErrRateLimited))
	fmt.Println(sparkloop.RetryAfter(err))
	// Output:
	// 429 Too many requests
	// true
	// 20s true
}

// A worker of your own queue decides what to do after a call.
func ExampleRetryable() {
	api := startAPI()
	defer api.Close()
	client := api.Client()
	_, tracking := api.Click("", "")

	work := func() {
		_, err := client.Conversions.Confirm(context.Background(), tracking)
		switch {
		case err == nil:
			fmt.Println("done")
		case sparkloop.Retryable(err):
			wait, asked := sparkloop.RetryAfter(err)
			if !asked {
				wait = time.Minute // your own backoff
			}
			fmt.Println("again in", wait)
		default:
			fmt.Println("for a person to look at:", err)
		}
	}
	api.Fail(sparklooptest.Status(503, "", "Retry-After", "90"), 1)
	work()
	work()
	// Output:
	// again in 1m30s
	// done
}

// A test of a handler: the real handler, a fake SparkLoop, and a lost answer.
// In a test, sparklooptest.NewServer(t) closes the server after the test.
func Example_handlerTest() {
	api := startAPI()
	defer api.Close()
	client := api.Client()
	buy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracking, err := sparkloop.DecodeTracking(r.URL.Query().Get("tracking"))
		if err != nil {
			return // this buyer did not come through SparkLoop
		}
		if _, err := client.Conversions.Confirm(context.WithoutCancel(r.Context()), tracking); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})

	_, tracking := api.Click("", "")
	api.Fail(sparklooptest.LostAnswer(), 1)
	w := httptest.NewRecorder()
	buy.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/buy?tracking="+tracking.Encode(), nil))
	fmt.Println(w.Code, api.Confirmed(tracking))
	// Output: 200 true
}

// The user's row takes precedence over the cookie until it expires.
func ExampleFirstLive() {
	now := time.Now()
	row := sparkloop.Tracking{Offer: "offer_1", Submission: "of_the_row", CapturedAt: now.Add(-46 * 24 * time.Hour)}
	cookie := sparkloop.Tracking{Offer: "offer_1", Submission: "of_the_cookie", CapturedAt: now}
	fmt.Println(sparkloop.FirstLive(row, cookie).Submission)
	fmt.Println(sparkloop.FirstLive(row).IsZero())
	// Output:
	// of_the_cookie
	// true
}

// A Tracking is a column: Value writes it, and Scan reads it. NULL is the zero
// Tracking.
func ExampleTracking_Value() {
	tracking := sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1", CapturedAt: time.Unix(1767225600, 0)}
	stored, _ := tracking.Value() // what db.Exec("INSERT ...", tracking) does
	fmt.Println(stored)

	var read sparkloop.Tracking
	err := read.Scan(stored) // what rows.Scan(&read) does
	fmt.Println(read.Key(), read.ExpiresAt().Format(time.DateOnly), err)
	// Output:
	// v1.offer_1.submission_1.1767225600
	// offer_1/submission_1 2026-02-15 <nil>
}

// A payment carries the tracking as metadata, and its webhook reads it.
func ExampleTracking_Metadata() {
	tracking := sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1"}
	fmt.Println(tracking.Metadata())

	payment, subscription := map[string]string(nil), tracking.Metadata()
	back, err := sparkloop.TrackingFromMetadata(payment, subscription)
	fmt.Println(back == tracking, err)
	// Output:
	// map[sparkloop_tracking:v1.offer_1.submission_1.0]
	// true <nil>
}

// Check the key at start-up.
func Example_checkAtBoot() {
	api := startAPI()
	defer api.Close()
	check := func(ctx context.Context, client *sparkloop.Client) error {
		if _, err := client.Offers.List(ctx, sparkloop.ListOffersParams{PerPage: 1}); errors.Is(err, sparkloop.ErrUnauthorized) {
			return fmt.Errorf("SparkLoop does not accept the key: %w", err)
		}
		return nil
	}
	fmt.Println(check(context.Background(), api.Client()))
	api.Fail(sparklooptest.Status(401, `{"error":"User not found!"}`), -1)
	fmt.Println(check(context.Background(), api.Client()))
	// Output:
	// <nil>
	// SparkLoop does not accept the key: sparkloop: list offers: 401 User not found! (2 attempts)
}
