// The smallest program of a user: a click and its confirmation.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	api, err := sparklooptest.Start()
	if err != nil {
		return err
	}
	defer api.Close()
	landing, _ := api.Click("", "https://shop.example/welcome")

	tracking, err := sparkloop.ParseTracking(landing)
	if err != nil {
		return err
	}
	client, err := sparkloop.New(sparklooptest.APIKey, sparkloop.WithBaseURL(api.URL()))
	if err != nil {
		return err
	}
	if _, err := client.Conversions.Confirm(context.Background(), tracking); err != nil {
		return err
	}
	if !api.Confirmed(tracking) {
		return errors.New("the API has no confirmation")
	}
	fmt.Println("Confirmed", tracking.Key())
	return nil
}
