// Package recipes has the code of docs/capture.md that is in no other example:
// offers.go, deeplink.go, refund.go and sites.go. Copy the file that you need.
package recipes

import (
	"database/sql"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// Site has what the recipes need.
type Site struct {
	DB    *sql.DB
	Queue outbox.Queue
}
