// Hcloud makes one call with hcloud-go.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

func main() {
	client := hcloud.NewClient(hcloud.WithToken(os.Getenv("KEY")))
	action, _, err := client.Server.Poweron(context.Background(), &hcloud.Server{ID: 1})
	fmt.Println(action, err)
}
