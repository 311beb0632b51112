// Stripe makes one call with stripe-go.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/stripe/stripe-go/v85"
)

func main() {
	client := stripe.NewClient(os.Getenv("KEY"))
	intent, err := client.V1PaymentIntents.Cancel(context.Background(), os.Args[1], nil)
	fmt.Println(intent, err)
}
