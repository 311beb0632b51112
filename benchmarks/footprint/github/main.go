// Github makes one call with go-github.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/google/go-github/v89/github"
)

func main() {
	client, err := github.NewClient(github.WithAuthToken(os.Getenv("KEY")))
	if err != nil {
		panic(err)
	}
	token, _, err := client.Actions.CreateRegistrationToken(context.Background(), os.Args[1], os.Args[2])
	fmt.Println(token.GetToken(), err)
}
