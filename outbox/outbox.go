// Package outbox delivers conversions in the background: each enqueued conversion
// is confirmed exactly once, after crashes, outages and lost answers too.
//
// The package has what the two engines share:
//
//   - sqliteoutbox: one machine. A SQLite file, or the application's SQLite
//     database.
//   - riveroutbox: any number of machines. The application's PostgreSQL, with River.
//
// # States
//
// A conversion is [Pending] until SparkLoop answers:
//
//   - [Confirmed]: SparkLoop confirmed it, now or before.
//   - [Dead]: SparkLoop refused it, and [sparkloop.Retryable] is false. A person
//     has to look at it.
//   - [Expired]: SparkLoop refused it, or failed with a 500, after the 45 days.
//     They count from CapturedAt, or from enqueueing if CapturedAt is zero. An
//     outage, a wrong key, a rate limit or a proxy's page never expires a
//     conversion.
//
// After every other answer the conversion stays pending. The queue retries it
// after pauses that grow from RetryMin to RetryMax.
//
// # Order of delivery
//
// Conversions enqueued within the last 10 minutes are sent first, the oldest of
// them first. All other conversions are the backlog. It is sent by expiry: the
// first to expire is sent first. Conversions beyond their 45 days are sent last.
// While fresh conversions wait, every tenth slot goes to the backlog. If its first
// conversion expires within a day, every second slot does.
//
// # Pauses
//
// If two conversions fail alike, with no success in between, the queue pauses. In
// a pause it sends one conversion at a time as a probe. Each probe is of another
// offer, if there is one. The intervals grow to 5 minutes, or to RetryMax if that
// is shorter.
//
// A success ends the pause. An offer that failed in the pause stays paused alone
// until one of its own probes succeeds. So a fault of one offer does not stop the
// other offers. A 401 pauses only the process that received it: while a key is
// being changed, another process may have the right one. A pause is logged after
// three failed probes, a rejected key at once.
//
// # Rate limit
//
// All processes on one database share one rate limit, with the numbers of
// [sparkloop.Client.RateLimit]. It survives a crash. A 429 delays all processes.
// Calls through an engine's Client method share the limit. A client with
// [sparkloop.WithLimiter] keeps its own limiter.
package outbox

import (
	"context"
	"database/sql"
	"iter"
	"log/slog"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// Beginnings of Stats.PausedReason for which a person has to act.
const (
	KeyRejected = "SparkLoop rejects the API key (401)"
	OtherAPI    = "this process calls another API than the queue" // see Options.AdoptAPI
)

// Queue is implemented by both engines. It is safe for concurrent use.
type Queue interface {
	// Enqueue stores a conversion. If it returns nil, the conversion is on disk. It
	// is safe to repeat: a known conversion, in any state, stays unchanged and is
	// logged at Info with its state. At a purchase, get the tracking from
	// [FirstNew]: a known tracking would hide a second sale. For a zero Tracking,
	// Enqueue stores nothing and returns nil. For an invalid Tracking it stores
	// nothing and returns [sparkloop.ErrInvalidTracking].
	Enqueue(ctx context.Context, t sparkloop.Tracking) error

	// Stats returns the figures of the queue.
	Stats(ctx context.Context) (Stats, error)

	// List yields the conversions in a state, the newest first. An error is yielded
	// once, and last. A conversion that changes its state meanwhile may be missing.
	List(ctx context.Context, s State) iter.Seq2[Entry, error]

	// Lookup returns a conversion by its two IDs, and whether it is in the queue.
	Lookup(ctx context.Context, t sparkloop.Tracking) (Entry, bool, error)

	// Redrive makes dead and expired conversions pending again and returns their
	// number. It ignores other states and unknown IDs, so it is safe to repeat.
	Redrive(ctx context.Context, ids ...int64) (int, error)

	// RedriveAll redrives all conversions in a state. It returns an error for a state
	// other than [Dead] and [Expired].
	RedriveAll(ctx context.Context, s State) (int, error)

	// Close stops delivery. It waits for the calls in progress until ctx ends, then
	// cancels them, which loses no data. Enqueue and the other methods still work
	// afterwards: the next process on the database delivers. It is safe to repeat.
	Close(ctx context.Context) error
}

// Execer is a transaction of database/sql, or of a library on top of it. It can be
// [*sql.Tx], *sqlx.Tx, bun.Tx, ent's *Tx with the feature sql/execquery, or GORM's
// tx.Statement.ConnPool. A conversion that is enqueued through an Execer is stored
// only if the transaction commits.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// State is the state of a conversion.
type State string

// The states of a conversion.
const (
	Pending   State = "pending"
	Confirmed State = "confirmed"
	Dead      State = "dead"
	Expired   State = "expired"
)

// Entry is a conversion in the queue.
type Entry struct {
	ID       int64
	Tracking sparkloop.Tracking
	State    State

	// Attempts is how often the conversion was sent since it was enqueued or
	// redriven.
	Attempts int

	// Reason is the message of the confirmation, or the text of the last error. It is
	// empty before the first attempt.
	Reason string

	EnqueuedAt time.Time
	DueAt      time.Time // of the next attempt; zero unless pending
	FinishedAt time.Time // zero while pending
}

// Stats are the figures of a queue.
type Stats struct {
	// Time is the time of the figures, on the queue's clock.
	Time time.Time `json:"time"`

	Pending   int `json:"pending"`
	Confirmed int `json:"confirmed"` // within Options.Keep
	Dead      int `json:"dead"`
	Expired   int `json:"expired"`

	// Swept counts the stored conversions that only Options.Source found. Above
	// zero, the program does not enqueue somewhere, or was killed before it did. If
	// the program relies on Source alone, every conversion is swept.
	Swept int `json:"swept"`

	// OldestPending is the time since which the oldest pending conversion waits; zero
	// if none is pending.
	OldestPending time.Time `json:"oldest_pending,omitzero"`

	// LastDied is the time at which the last of the dead and expired conversions
	// became so; zero if there is none.
	LastDied time.Time `json:"last_died,omitzero"`

	// PausedSince is the beginning of the pause of the queue, or of this process after
	// a 401; zero without a pause. PausedReason is its reason.
	PausedSince  time.Time `json:"paused_since,omitzero"`
	PausedReason string    `json:"paused_reason,omitempty"`

	// ConfirmedByHour counts the confirmations of the last 24 hours, by hour. The
	// last hour ends at Time.
	ConfirmedByHour [24]int `json:"confirmed_by_hour"`
}

// Delivered counts the deliveries of one process since it opened the queue. Both
// engines have a method of this name. The counts start at 0 after a restart.
type Delivered struct {
	Confirmed int64 // became Confirmed
	Dead      int64 // became Dead
	Expired   int64 // became Expired
	Retried   int64 // failed attempts after which the conversion stayed Pending
}

// Options are the settings of both engines. A zero value means the default. Open
// returns an error for an invalid value.
type Options struct {
	// Workers is how many conversions this process delivers at a time. Default: 4,
	// at most 1000. More workers mostly wait for the rate limit. If Workers is
	// negative, this process only enqueues, and another process must deliver.
	Workers int

	// RetryMin and RetryMax bound the pause before a retry. The pause is random, and
	// doubles with each attempt. A longer Retry-After from SparkLoop overrides it, up
	// to RetryMax. Defaults: 5s and 1h. Limits: at least 1ms, at most 45 days.
	RetryMin, RetryMax time.Duration

	// Keep is how long a confirmed conversion is stored, to recognise it when it is
	// enqueued again. Default: 60 days, at least 2 days. Dead and expired conversions
	// are stored until they are redriven.
	Keep time.Duration

	// Source returns the trackings of your orders that were paid since a time.
	// Select by the time of payment: an order that was created last week and paid
	// today must be found. Conversions that are missing in the queue are enqueued
	// and counted in Stats.Swept. Known, zero and invalid trackings are ignored.
	//
	// Source is called at Open for the last 45 days, or for Keep minus a day if that
	// is shorter. After that it is called every SourceEvery, for the time since the
	// last sweep plus a day. After an error, which is logged, it is called again in a
	// minute. A process that only enqueues does not call it. Default: nil, no sweeps.
	Source func(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error)

	// SourceEvery is the time between two sweeps of Source. Default: 1h. It must be
	// shorter than 45 days and than Keep minus a day.
	SourceEvery time.Duration

	// AdoptAPI stores this client's base URL as the base URL of the queue. Set it for
	// one start when the base URL changes. Without AdoptAPI, a process with another
	// base URL than the queue's delivers nothing. So a test or staging system never
	// delivers conversions of production. Default: false.
	AdoptAPI bool

	// NoMigrate makes Open check the schema without creating or updating it.
	// Default: false.
	NoMigrate bool

	// Logger gets a Warn for each dead or expired conversion, for a pause that lasts,
	// and for problems that need a person. The two IDs are logged; the key and bodies
	// never are. Default: slog.Default().
	Logger *slog.Logger

	// OnConfirmed and OnDead run after the state is stored, once, in the process that
	// delivered. OnDead is also for expired conversions, see Entry.State. A process
	// that is killed at that moment does not run them. OnPaused runs when the queue
	// pauses, in the process that noticed. They run in the workers: a slow one delays
	// delivery. A panic is logged.
	OnConfirmed, OnDead func(Entry)
	OnPaused            func(reason error)

	// Now is the clock for due times, expiry and Keep, for tests. The rate limit uses
	// the clock of the database. Default: the clock of the PostgreSQL server, or of the
	// machine with SQLite.
	Now func() time.Time
}
