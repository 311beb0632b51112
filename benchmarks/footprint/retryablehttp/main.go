// Retryablehttp confirms a conversion with go-retryablehttp and encoding/json.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/hashicorp/go-retryablehttp"
)

func main() {
	req, err := retryablehttp.NewRequestWithContext(context.Background(), http.MethodPost, os.Args[1], nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("X-Api-Key", os.Getenv("KEY"))
	client := retryablehttp.NewClient()
	client.Logger = nil
	resp, err := client.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var reply struct {
		Message string `json:"message"`
	}
	err = json.NewDecoder(resp.Body).Decode(&reply)
	fmt.Println(reply.Message, err)
}
