package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// SharedState is a row that all processes of a queue share: a text that is read
// and replaced whole.
type SharedState interface {
	// Load returns the text ("" at first), its revision, and the time on the
	// clock that all processes have in common.
	Load(ctx context.Context) (text string, revision int64, now time.Time, err error)
	// Swap replaces the text if it still has that revision, and reports whether
	// it did.
	Swap(ctx context.Context, revision int64, text string) (bool, error)
}

// state is what the row holds. Fields may be added, never changed: an older
// program drops those that it does not know.
type state struct {
	// Next is the next free slot of the rate limit, Hold until when nobody may
	// send after a 429, and Set when the two were set: microseconds on the
	// common clock.
	Next int64 `json:"next,omitempty"`
	Hold int64 `json:"hold,omitempty"`
	Set  int64 `json:"set,omitempty"`

	// Pause is nil while the queue delivers. Offers are the offers that fail
	// while others do not, by ID.
	Pause  *pause            `json:"pause,omitempty"`
	Offers map[string]*pause `json:"offers,omitempty"`

	// Rejected is set while the last answer about a key was a 401.
	Rejected *pause `json:"rejected,omitempty"`

	// API is the base URL to which the queue delivers.
	API string `json:"api,omitempty"`

	// Swept is when the last complete sweep of the source began, in seconds.
	Swept int64 `json:"swept,omitempty"`

	// Share is when the next turn of the backlog is, in milliseconds.
	Share int64 `json:"share,omitempty"`

	// Clock is what the common clock showed lately, in milliseconds.
	Clock int64 `json:"clock,omitempty"`
}

// pause is an interval in which nothing is sent but a probe from time to time.
// Times are unix milliseconds on the queue's clock.
type pause struct {
	Class  string   `json:"class"` // of the failure
	Reason string   `json:"reason"`
	Since  int64    `json:"since"`
	Probe  int64    `json:"probe"`           // when the next conversion may be sent
	Step   int      `json:"step"`            // how many probes failed
	Key    string   `json:"key"`             // of the conversion of the last probe that failed
	Last   int64    `json:"last,omitempty"`  // when that was
	Said   bool     `json:"said,omitempty"`  // the log has it
	Tried  []string `json:"tried,omitempty"` // the offers that failed in it, the last one last
}

// stateError is the database's failure, not SparkLoop's.
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

// update changes the state, again and again until nobody else changed it
// meanwhile. change returns false to leave it as it is.
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
