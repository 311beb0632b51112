// Plain confirms a conversion with net/http and encoding/json alone.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	//nolint:gosec // the address is the user's
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, os.Args[1], nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("X-Api-Key", os.Getenv("KEY"))
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // likewise
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
