// Command minimal is the README's program: a site that captures a reader who
// comes through SparkLoop, and confirms the conversion when the reader buys.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

func main() {
	client, err := sparkloop.New(os.Getenv("SPARKLOOP_API_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /welcome", welcome)
	http.HandleFunc("POST /buy", buy(client))
	server := &http.Server{Addr: "127.0.0.1:8080", ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// welcome is the page that the offer links to.
func welcome(w http.ResponseWriter, r *http.Request) {
	if tracking, err := sparkloop.TrackingFromRequest(r); err == nil {
		w.Header().Set("Cache-Control", "private, no-store")
		http.SetCookie(w, &http.Cookie{
			Name: "tracking", Value: tracking.Encode(), Path: "/", Expires: tracking.ExpiresAt(),
			HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
		})
	}
	fmt.Fprint(w, "Welcome!")
}

// buy is called once the order is paid.
func buy(client *sparkloop.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("tracking")
		if err != nil {
			return // not through SparkLoop
		}
		tracking, err := sparkloop.DecodeTracking(cookie.Value)
		if err != nil {
			return // not a cookie of ours
		}
		ctx := context.WithoutCancel(r.Context()) // also if the buyer closes the page
		if _, err := client.Conversions.Confirm(ctx, tracking); err != nil {
			log.Printf("retryable %t: %v", sparkloop.Retryable(err), err)
		}
	}
}
