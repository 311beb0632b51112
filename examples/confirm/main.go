// Command confirm confirms one conversion, and shows what each answer means.
//
//	SPARKLOOP_API_KEY=... go run ./examples/confirm OFFER SUBMISSION
//
// For lists, and for a program to install, see cmd/sparkloop.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sparkloop-go/sparkloop"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: confirm OFFER SUBMISSION")
		os.Exit(2)
	}
	client, err := sparkloop.New(os.Getenv("SPARKLOOP_API_KEY"))
	if err == nil {
		err = confirm(context.Background(), client, sparkloop.Tracking{Offer: os.Args[1], Submission: os.Args[2]})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func confirm(ctx context.Context, client *sparkloop.Client, t sparkloop.Tracking) error {
	confirmation, err := client.Conversions.Confirm(ctx, t)
	switch {
	case err == nil && confirmation.AlreadyConfirmed:
		fmt.Println(t.Key(), "was confirmed before: it counts once")
		return nil
	case err == nil:
		fmt.Println(t.Key(), "is confirmed")
		return nil
	case errors.Is(err, sparkloop.ErrUnauthorized):
		return fmt.Errorf("correct the API key: %w", err)
	case sparkloop.Retryable(err):
		wait, _ := sparkloop.RetryAfter(err) // 0 unless SparkLoop asked for a pause
		return fmt.Errorf("try again, in %s at the earliest: %w", wait, err)
	default:
		return fmt.Errorf("SparkLoop's final answer, to be looked at by a person: %w", err)
	}
}
