// Sparkloop confirms a conversion with this SDK.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sparkloop-go/sparkloop"
)

func main() {
	client, err := sparkloop.New(os.Getenv("KEY"))
	if err != nil {
		panic(err)
	}
	t, err := sparkloop.ParseTracking(os.Args[1])
	if err != nil {
		panic(err)
	}
	done, err := client.Conversions.Confirm(context.Background(), t)
	fmt.Println(done, err)
}
