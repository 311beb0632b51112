// Anthropic makes one call with anthropic-sdk-go.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

func main() {
	client := anthropic.NewClient(option.WithAPIKey(os.Getenv("KEY")))
	batch, err := client.Messages.Batches.Cancel(context.Background(), os.Args[1], anthropic.MessageBatchCancelParams{})
	fmt.Println(batch, err)
}
