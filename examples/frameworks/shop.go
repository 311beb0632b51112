// Package frameworks shows the capture middleware and a purchase with net/http,
// chi, gin, echo and Fiber.
//
// Copy the file of your framework, with shop.go, which has the purchase.
//
//	your router                what goes around it     in a handler
//	net/http  http.ServeMux    keep.Handler(mux)       w, r
//	chi       chi.Router       r.Use(keep.Handler)     w, r
//	gin       *gin.Engine      keep.Handler(engine)    c.Writer, c.Request
//	echo      *echo.Echo       keep.Handler(e)         c.Response(), c.Request()
//	fiber     *fiber.App       app.Use(fiberCapture)   see fiber.go, fiberv2.go
//
// The middleware goes around the whole router. A reader may land on any page, also
// on an unknown one, and the cookie must be in the header. gin and echo write some
// headers after their own middleware has ended. Fiber is not built on net/http and
// needs an adaptor.
package frameworks

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/sparkloop-go/sparkloop/capture"
	"github.com/sparkloop-go/sparkloop/outbox"
)

// Shop is what the handlers of every framework need. Create Keep with
// capture.Options{Enqueued: outbox.Enqueued(queue)}.
type Shop struct {
	Keep  *capture.Capture
	Queue outbox.Queue // of sqliteoutbox or riveroutbox
	Offer string       // the offer that pays for a purchase
	Log   *slog.Logger
}

// bought enqueues the conversion of a buyer who came through SparkLoop. Call it
// when the order is paid, before anything is written: it changes the cookie.
//
// An error does not concern the buyer. A shop with a database also stores the
// tracking in the order's row, where outbox.Options.Source finds it. A shop with
// accounts passes the user's tracking to FirstNew before the cookie's.
func (s *Shop) bought(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context())       // also if the buyer closes the page
	fromCookie, _ := capture.ForOffer(ctx, s.Offer) // with a single offer: FromContext
	tracking, err := outbox.FirstNew(ctx, s.Queue, fromCookie)
	if err != nil {
		s.Log.ErrorContext(ctx, "look into the queue", "error", err) // tracking is then the first live one
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
