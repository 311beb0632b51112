// Package frameworks shows the capture middleware and a confirmation with
// net/http, chi, gin and echo: one small file each, to copy from.
//
//	your router                what goes around it     in a handler
//	net/http  http.ServeMux    keep.Handler(mux)       w, r
//	chi       chi.Router       r.Use(keep.Handler)     w, r
//	gin       *gin.Engine      keep.Handler(engine)    c.Writer, c.Request
//	echo      *echo.Echo       keep.Handler(e)         c.Response(), c.Request()
//
// It is the same middleware each time, around everything: a reader may land on
// any page, an unknown one included, and the cookie has to go out with the
// header, whoever writes that. gin and echo write it late, the one when a
// handler has only set a status, the other when it has returned an error: their
// own middleware is over by then.
//
// What does not depend on the framework is in [Shop].
package frameworks

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/capture"
)

// Shop is what the handlers of every framework need.
type Shop struct {
	Keep      *capture.Capture
	SparkLoop *sparkloop.Client
	Offer     string // the one that pays for a purchase
	Log       *slog.Logger
}

// confirmTimeout is for how long a buyer waits for SparkLoop at most.
const confirmTimeout = 5 * time.Second

// bought confirms the conversion of a buyer who came through SparkLoop. Call it
// once the order is paid, and before anything is written: it changes the cookie.
//
// The buyer's page does not depend on what comes of it. A shop with a database
// keeps the tracking in the order's row, and confirms from there what could not
// be confirmed here.
func (s *Shop) bought(w http.ResponseWriter, r *http.Request) {
	tracking, ok := capture.ForOffer(r.Context(), s.Offer) // FromContext, if there is but one offer
	if !ok {
		return // not through SparkLoop
	}
	// Also when the buyer closes the page, but not for longer than this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), confirmTimeout)
	defer cancel()
	_, err := s.SparkLoop.Conversions.Confirm(ctx, tracking)
	switch {
	case err == nil:
		s.Keep.Clear(w, r, tracking.Offer) // the next click on the offer counts again
	case sparkloop.Retryable(err):
		s.Log.WarnContext(ctx, "conversion to be confirmed later", "tracking", tracking.Encode(), "error", err)
	default:
		s.Log.ErrorContext(ctx, "conversion refused, for a person to look at", "tracking", tracking.Encode(), "error", err)
	}
}
