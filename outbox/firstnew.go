package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// lookupMax bounds how long a landing page waits for the queue's database.
const lookupMax = 2 * time.Second

// FirstNew returns the first of ts that is live and not yet in the queue, or the
// zero Tracking. Call it at a purchase, with the user's row before the cookie:
//
//	t, err := outbox.FirstNew(ctx, queue, user.Tracking, fromCookie)
//	if err != nil {
//		log.Print(err) // t is usable
//	}
//	err = queue.Enqueue(ctx, t)
//
// A conversion counts once. After a first purchase, its tracking may still be in
// the row or the cookie. FirstNew skips it, so the click of a second purchase
// counts.
//
// If the database fails, FirstNew returns an error and the first live tracking
// that it has not found in the queue.
func FirstNew(ctx context.Context, q Queue, ts ...sparkloop.Tracking) (sparkloop.Tracking, error) {
	rest := slices.Clone(ts)
	for {
		t := sparkloop.FirstLive(rest...)
		if t.IsZero() {
			return t, nil
		}
		if _, known, err := q.Lookup(ctx, t); err != nil || !known {
			return t, err
		}
		rest = slices.DeleteFunc(rest, func(other sparkloop.Tracking) bool { return other.Key() == t.Key() })
	}
}

// Enqueued returns a function for capture.Options.Enqueued. The function reports
// whether a conversion is in the queue, in any state. It waits at most 2 s for the
// database. After an error it returns false, and the stored click stays.
func Enqueued(q Queue) func(context.Context, sparkloop.Tracking) bool {
	return func(ctx context.Context, t sparkloop.Tracking) bool {
		ctx, cancel := context.WithTimeout(ctx, lookupMax)
		defer cancel()
		_, known, err := q.Lookup(ctx, t)
		return err == nil && known
	}
}
