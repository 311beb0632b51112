// Package outbox delivers conversions in the background: what was enqueued is
// confirmed, once, whatever happens to the process, the network or SparkLoop.
//
// It holds what the engines share. Pick one of them:
//
//   - sqliteoutbox: one machine, no server. A SQLite file of its own, or the
//     application's SQLite database.
//   - riveroutbox: many machines. River on the application's PostgreSQL.
//
// Both keep a conversion in their database until SparkLoop has answered, and
// behave alike:
//
// # States
//
// A conversion is [Pending] until SparkLoop has said something about it, and
// leaves that state in no other way:
//
//   - [Confirmed]: SparkLoop said yes, now or before.
//   - [Dead]: SparkLoop said no, and that is its last word ([sparkloop.Retryable]
//     is false). A person has to look at it.
//   - [Expired]: SparkLoop said no, or failed with a 500 and the like, after the
//     45 days in which it takes a confirmation. They count from CapturedAt, or
//     from enqueueing if that is unknown. Nothing expires without having been
//     asked for after that time: an outage, a wrong key, a full rate limit and
//     a proxy's page say nothing about a conversion.
//
// Everything else is tried again after pauses that grow from RetryMin to
// RetryMax, as often as it takes.
//
// # Pauses
//
// When two different conversions fail alike with no good answer in between,
// the whole queue pauses: one conversion at a time, each time another, asks
// whether SparkLoop is back, at intervals that grow to 5 minutes (or RetryMax, if
// that is less). The first good answer ends the pause. A single 401 pauses
// the process that got it, and no other: while a key is being changed, the
// others may have the right one. One conversion that always fails never holds up
// the rest.
//
// # Rate limit
//
// All processes on one database send through one limit, with the numbers of
// [sparkloop.Client.RateLimit]. It survives a crash, and a 429 moves it for
// everybody. Calls through an engine's Client method share it. A client made
// with [sparkloop.WithLimiter] keeps the limiter that it has.
package outbox

import (
	"context"
	"database/sql"
	"iter"
	"log/slog"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// How Stats.PausedReason begins where a person has to do something.
const (
	KeyRejected = "SparkLoop rejects the API key (401)"
	OtherAPI    = "this process calls another API than the queue" // see Options.AdoptAPI
)

// Queue is what both engines are. It is safe for concurrent use.
type Queue interface {
	// Enqueue stores a conversion to be confirmed. nil means that it is on
	// disk. It is safe to repeat: a known conversion, in any state, stays
	// unchanged and is logged at Info with its state. At a purchase, get the
	// tracking from [FirstNew]: a known one hides a second sale. A zero Tracking
	// returns nil; an invalid one returns [sparkloop.ErrInvalidTracking]. Neither
	// is stored.
	Enqueue(ctx context.Context, t sparkloop.Tracking) error

	// Stats counts what is in the database.
	Stats(ctx context.Context) (Stats, error)

	// List yields the conversions in a state, those enqueued last first. It
	// yields an error once, and last. An entry that moves to another state meanwhile
	// may be left out.
	List(ctx context.Context, s State) iter.Seq2[Entry, error]

	// Lookup finds a conversion by its two ids.
	Lookup(ctx context.Context, t sparkloop.Tracking) (Entry, bool, error)

	// Redrive makes dead and expired conversions pending again and returns how
	// many it did. Others, and ids that do not exist, are left alone, so it is
	// safe to repeat.
	Redrive(ctx context.Context, ids ...int64) (int, error)

	// RedriveAll does that for all in a state, [Dead] or [Expired]; another
	// state is an error.
	RedriveAll(ctx context.Context, s State) (int, error)

	// Close stops delivery. It waits for the calls under way until ctx ends,
	// and then breaks them off, which loses nothing. Enqueue and the other
	// methods still work afterwards; what they store is delivered by the next
	// process that opens the queue. Closing twice is harmless.
	Close(ctx context.Context) error
}

// Execer is a transaction of database/sql, or of a library on top of it:
// [*sql.Tx], *sqlx.Tx, bun.Tx, ent's *Tx with the feature sql/execquery, and
// GORM's tx.Statement.ConnPool. A conversion that is enqueued through it is stored
// only if the transaction commits.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// State is what has become of a conversion.
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

	// Attempts is how often SparkLoop was asked, since it was enqueued or
	// redriven.
	Attempts int

	// Reason is what SparkLoop said last, or what went wrong: for a yes its
	// message, else the text of the error. It is empty before the first attempt.
	Reason string

	EnqueuedAt time.Time
	DueAt      time.Time // of the next attempt; zero unless pending
	FinishedAt time.Time // zero while pending
}

// Stats says how a queue is doing.
type Stats struct {
	// Time is when these figures were taken, on the queue's clock.
	Time time.Time `json:"time"`

	Pending   int `json:"pending"`
	Confirmed int `json:"confirmed"` // within Options.Keep
	Dead      int `json:"dead"`
	Expired   int `json:"expired"`

	// Swept counts the conversions that only Options.Source brought in, of those
	// that are still kept. Above zero, the program somewhere forgets to enqueue,
	// or was killed before it did.
	Swept int `json:"swept"`

	// OldestPending is when the oldest pending conversion was enqueued; zero
	// if none is pending.
	OldestPending time.Time `json:"oldest_pending,omitzero"`

	// LastDied is when a conversion became dead or expired last, of those that
	// still are; zero if none is.
	LastDied time.Time `json:"last_died,omitzero"`

	// PausedSince is when the queue paused, or this process alone for a 401;
	// zero if it is not paused. PausedReason is why.
	PausedSince  time.Time `json:"paused_since,omitzero"`
	PausedReason string    `json:"paused_reason,omitempty"`

	// ConfirmedByHour counts confirmations in the last 24 hours, the one that
	// ends at Time last.
	ConfirmedByHour [24]int `json:"confirmed_by_hour"`
}

// Delivered counts what one process delivered since it opened the queue. Each
// count only grows, and starts at 0 after a restart. Both engines return it from
// their method of this name.
type Delivered struct {
	Confirmed int64 // became Confirmed
	Dead      int64 // became Dead
	Expired   int64 // became Expired
	Retried   int64 // failed attempts after which the conversion stayed Pending
}

// Options are settings of both engines. A zero value means the default; a value
// that makes no sense is an error from Open.
type Options struct {
	// Workers is how many conversions this process delivers at a time. Default
	// 4; more only wait for the rate limit. Negative: this process enqueues
	// only, and another one delivers.
	Workers int

	// RetryMin and RetryMax bound the pause before a conversion is tried
	// again: random, and doubled with each attempt. Defaults 5 s and 1 h. A
	// longer Retry-After from SparkLoop goes before it, up to RetryMax.
	RetryMin, RetryMax time.Duration

	// Keep is how long a confirmed conversion is kept, to recognise it when it
	// is enqueued again. Default 60 days, at least 2 days. Dead and expired ones
	// stay until they are redriven.
	Keep time.Duration

	// Source returns the conversions that should have been confirmed, from
	// the merchant's own orders since that time. What is missing in the queue
	// is enqueued and counted in Stats.Swept; what is known, zero or invalid is
	// passed over. It is asked at Open for the last 45 days (or Keep less a day,
	// if that is less), and every SourceEvery, default 1 h and shorter than that
	// time, for the time since the last sweep and a day more. An error is logged,
	// and the sweep tried again after a minute. A process that enqueues only does
	// not sweep.
	Source      func(ctx context.Context, since time.Time) ([]sparkloop.Tracking, error)
	SourceEvery time.Duration

	// AdoptAPI has the queue deliver to this client's base URL from now on. Set
	// it for one start when the base URL changes. Without it, a process whose
	// client has another base URL than the queue's first one delivers nothing:
	// a test or a staging system must not use up everybody's conversions.
	AdoptAPI bool

	// NoMigrate leaves the schema to somebody else: Open only checks it.
	NoMigrate bool

	// Logger gets a Warn for each dead or expired conversion, for a pause, and
	// for whatever else a person should know. No key and no body is logged; the two
	// ids are. Default slog.Default(); slog.DiscardHandler silences it.
	Logger *slog.Logger

	// OnConfirmed and OnDead (which is for expired ones too; see Entry.State) are
	// called after that is in the database, by the process that delivered, once;
	// a process killed in between does not call them. OnPaused is called when
	// the queue pauses, by the process that found out. They are called by the
	// workers: a slow one holds up delivery. A panic is logged.
	OnConfirmed, OnDead func(Entry)
	OnPaused            func(reason error)

	// Now is the clock for due times, expiry and Keep; the rate limit has the
	// database's own. It is for tests. Default: the clock of the PostgreSQL
	// server, or with SQLite the machine's.
	Now func() time.Time
}
