package recipes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// OffersSchema has one row for each user and offer.
const OffersSchema = `
CREATE TABLE user_trackings (
	user_id  TEXT NOT NULL,
	offer    TEXT NOT NULL,
	tracking VARCHAR(277) NOT NULL,
	PRIMARY KEY (user_id, offer)
)
`

// Keep stores the visitor's clicks, capture.All(r.Context()), with the user. Call
// it at each signup and sign-in. A click that waits in the row is kept.
func (s *Site) Keep(ctx context.Context, user string, clicks []sparkloop.Tracking) error {
	for _, click := range clicks {
		tracking, err := s.For(ctx, user, click.Offer, click)
		if err != nil {
			return err
		}
		if tracking.IsZero() {
			continue // both are used or expired
		}
		if _, err := s.DB.ExecContext(ctx, `INSERT INTO user_trackings (user_id, offer, tracking) VALUES ($1, $2, $3)
			ON CONFLICT (user_id, offer) DO UPDATE SET tracking = excluded.tracking`, user, click.Offer, tracking); err != nil {
			return err
		}
	}
	return nil
}

// For returns the click on an offer that the user's next purchase confirms. The
// cookie's click, if there is one, is capture.ForOffer(r.Context(), offer).
func (s *Site) For(ctx context.Context, user, offer string, fromCookie sparkloop.Tracking) (sparkloop.Tracking, error) {
	var row sparkloop.Tracking
	err := s.DB.QueryRowContext(ctx, `SELECT tracking FROM user_trackings WHERE user_id = $1 AND offer = $2`, user, offer).Scan(&row)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return row, err
	}
	return outbox.FirstNew(ctx, s.Queue, row, fromCookie)
}

const metadataName = "sparkloop_tracking_"

// Metadata writes the clicks on several offers into a payment's metadata. For one
// click there is Tracking.Metadata.
func Metadata(clicks []sparkloop.Tracking) map[string]string {
	metadata := make(map[string]string)
	for i, click := range clicks {
		if text := click.Encode(); text != "" {
			metadata[fmt.Sprint(metadataName, i)] = text
		}
	}
	return metadata
}

// FromMetadata reads what Metadata wrote, by offer.
func FromMetadata(metadata map[string]string) map[string]sparkloop.Tracking {
	clicks := make(map[string]sparkloop.Tracking)
	for name, text := range metadata {
		if !strings.HasPrefix(name, metadataName) {
			continue
		}
		if click, err := sparkloop.DecodeTracking(text); err == nil {
			clicks[click.Offer] = click
		}
	}
	return clicks
}
