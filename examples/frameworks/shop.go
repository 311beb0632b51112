// Package frameworks shows the capture middleware and a purchase with
// net/http, chi, gin, echo and Fiber: one small file each, to copy from.
//
//	your router                what goes around it     in a handler
//	net/http  http.ServeMux    keep.Handler(mux)       w, r
//	chi       chi.Router       r.Use(keep.Handler)     w, r
//	gin       *gin.Engine      keep.Handler(engine)    c.Writer, c.Request
//	echo      *echo.Echo       keep.Handler(e)         c.Response(), c.Request()
//	fiber     *fiber.App       app.Use(fiberCapture)   see fiber.go, fiberv2.go
//
// It is the same middleware each time, around everything: a reader may land on
// any page, an unknown one included, and the cookie has to go out with the
// header, whoever writes that. gin and echo write it late, the one when a
// handler has only set a status, the other when it has returned an error: their
// own middleware is over by then. Fiber is not built on net/http, and has an
// adaptor here.
//
// What does not depend on the framework is in [Shop].
package frameworks

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Shop is what the handlers of every framework need.
type Shop struct {
	Keep  *capture.Capture
	Queue outbox.Queue // of sqliteoutbox or riveroutbox
	Offer string       // the one that pays for a purchase
	Log   *slog.Logger
}

// bought has the conversion of a buyer confirmed who came through SparkLoop. Call
// it once the order is paid, and before anything is written: it changes the
// cookie.
//
// The buyer's page does not depend on what comes of it. A shop with a database
// keeps the tracking in the order's row, where outbox.Options.Source finds what
// could not be stored here.
func (s *Shop) bought(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context())       // also when the buyer closes the page
	fromCookie, _ := capture.ForOffer(ctx, s.Offer) // FromContext, if there is one offer only
	tracking, err := outbox.FirstNew(ctx, s.Queue, fromCookie)
	if err != nil {
		s.Log.ErrorContext(ctx, "tracking not looked up", "error", err) // it is usable
	}
	if tracking.IsZero() {
		return // not through SparkLoop, or the click of an earlier purchase
	}
	if err := s.Queue.Enqueue(ctx, tracking); err != nil {
		s.Log.ErrorContext(ctx, "conversion not stored", "tracking", tracking.Encode(), "error", err)
		return
	}
	s.Keep.Clear(w, r, tracking.Offer) // the next click on the offer counts again
}
