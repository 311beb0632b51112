package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// SharedState is a row that all processes of a queue share: a text that is read
// and replaced as a whole.
type SharedState interface {
	// Load returns the text (initially ""), its revision, and the time on the
	// common clock of all processes.
	Load(ctx context.Context) (text string, revision int64, now time.Time, err error)
	// Swap replaces the text if it still has this revision, and reports whether it
	// did.
	Swap(ctx context.Context, revision int64, text string) (bool, error)
}

// state is the content of the row. Fields may be added, never changed. An older
// program drops unknown fields.
type state struct {
	// Next is the next free slot of the rate limit. Hold is the end of the pause
	// after a 429. Set is when Next and Hold were set. All are microseconds on the
	// common clock.
	Next int64 `json:"next,omitempty"`
	Hold int64 `json:"hold,omitempty"`
	Set  int64 `json:"set,omitempty"`

	// Pause is nil while the queue delivers. Offers are the paused offers by ID.
	Pause  *pause            `json:"pause,omitempty"`
	Offers map[string]*pause `json:"offers,omitempty"`

	// Rejected is set while the last answer about a key was a 401.
	Rejected *pause `json:"rejected,omitempty"`

	// API is the base URL to which the queue delivers.
	API string `json:"api,omitempty"`

	// Keys has the last success of each recent API key, in milliseconds, by the
	// key's mark. Salt is the salt of the marks.
	Salt string           `json:"salt,omitempty"`
	Keys map[string]int64 `json:"keys,omitempty"`

	// Swept is when the last complete sweep of the source began, in seconds.
	Swept int64 `json:"swept,omitempty"`

	// Share is the time of the backlog's next turn, in milliseconds.
	Share int64 `json:"share,omitempty"`

	// Clock is a recent time of the common clock, in milliseconds.
	Clock int64 `json:"clock,omitempty"`
}

// pause is an interval in which only probes are sent. Times are unix milliseconds
// on the queue's clock.
type pause struct {
	Class  string   `json:"class"` // of the failure
	Reason string   `json:"reason"`
	Since  int64    `json:"since"`
	Probe  int64    `json:"probe"`           // time of the next probe
	Step   int      `json:"step"`            // number of failed probes
	Key    string   `json:"key"`             // of the conversion of the last failed probe
	Last   int64    `json:"last,omitempty"`  // time of this probe
	Said   bool     `json:"said,omitempty"`  // the pause is logged
	Tried  []string `json:"tried,omitempty"` // offers that failed in the pause, in this order
}

// stateError is a failure of the database, not of SparkLoop.
type stateError struct{ err error }

func (e *stateError) Error() string { return "the queue's shared state: " + e.err.Error() }
func (e *stateError) Unwrap() error { return e.err }

func load(ctx context.Context, r SharedState) (state, int64, time.Time, error) {
	var s state
	text, revision, now, err := r.Load(ctx)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		return state{}, 0, time.Time{}, &stateError{err}
	}
	return s, revision, now, nil
}

// update changes the state. It calls change again if another process has changed
// the state meanwhile. change returns false to leave the state unchanged.
func update(ctx context.Context, r SharedState, change func(s *state, now time.Time) bool) error {
	for {
		s, revision, now, err := load(ctx, r)
		if err != nil {
			return err
		}
		if !change(&s, now) {
			return nil
		}
		text, err := json.Marshal(s)
		if err != nil {
			return &stateError{fmt.Errorf("cannot be written: %w", err)}
		}
		switch swapped, err := r.Swap(ctx, revision, ascii(text)); {
		case err != nil:
			return &stateError{err}
		case swapped:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
