// Openai makes one call with openai-go.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	client := openai.NewClient(option.WithAPIKey(os.Getenv("KEY")))
	batch, err := client.Batches.Cancel(context.Background(), os.Args[1])
	fmt.Println(batch, err)
}
