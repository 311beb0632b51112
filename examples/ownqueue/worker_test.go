package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestTheStory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	assert.Equal(t, `
SparkLoop is a fake in this process. The queue prints what the worker does with each message.

1. SparkLoop is down
   back into the queue, for 5s

2. SparkLoop confirms, and its answer is lost
   back into the queue, for 5s

3. All is well
   done: confirmed

4. SparkLoop does not know the submission
   set aside for a person: sparkloop: confirm offer_1234abcd/made_up: 404 Submission not found

5. The message cannot be read
   set aside for a person: read the message: unexpected end of JSON input

6. SparkLoop asks for a pause, which holds every call of the client
   back into the queue, for 1m30s
`, out.String())
}

// what is a queue that notes what became of a message.
type what struct {
	done   bool
	again  time.Duration
	reason error

	err error // its own
}

func (q *what) Done(message) error {
	q.done = true
	return q.err
}

func (q *what) Again(_ message, after time.Duration) error {
	q.again = after
	return q.err
}

func (q *what) SetAside(_ message, reason error) error {
	q.reason = reason
	return q.err
}

func TestWhatBecomesOfAMessage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault sparklooptest.Fault
		tries int
		again time.Duration
	}{
		"well":             {again: 0},
		"down":             {sparklooptest.Status(http.StatusBadGateway, ""), 1, 5 * time.Second},
		"still down":       {sparklooptest.Reset(), 3, 20 * time.Second},
		"down for days":    {sparklooptest.HTMLPage(), 400, longestPause},
		"wrong key":        {sparklooptest.Status(http.StatusUnauthorized, `{"error":"User not found!"}`), 1, 5 * time.Second},
		"asks for a pause": {sparklooptest.Status(http.StatusServiceUnavailable, "", "Retry-After", "60"), 1, time.Minute},
		"asks for a day":   {sparklooptest.Status(http.StatusTooManyRequests, "", "Retry-After", "86400"), 1, longestPause},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			var queue what
			w := &worker{queue: &queue, client: api.Client(sparkloop.WithRetries(0))}
			_, tracking := api.Click("", "")
			// Until then the client tries each address of the endpoint.
			_, before := api.Click("", "")
			require.NoError(t, w.handle(t.Context(), message{body(before), 0}))
			queue = what{}
			api.Fail(test.fault, 1)
			require.NoError(t, w.handle(t.Context(), message{body(tracking), test.tries}))
			assert.Equal(t, what{done: test.again == 0, again: test.again}, queue)
			assert.Len(t, api.Requests(), 2)
		})
	}
}

func TestWhatIsSetAside(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	for text, want := range map[string]error{
		`{"tracking":{"offer":"offer_1234abcd","submission":"nobody"}}`: sparkloop.ErrSubmissionNotFound,
		`{"tracking":{"offer":"../x","submission":"s"}}`:                sparkloop.ErrInvalidTracking,
		`{}`: sparkloop.ErrNoTracking,
	} {
		var queue what
		w := &worker{queue: &queue, client: api.Client()}
		require.NoError(t, w.handle(t.Context(), message{[]byte(text), 1}))
		assert.ErrorIs(t, queue.reason, want, text)
	}
}

func TestAMessageThatComesTwice(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	_, tracking := api.Click("", "")
	for range 2 {
		var queue what
		w := &worker{queue: &queue, client: api.Client()}
		require.NoError(t, w.handle(t.Context(), message{body(tracking), 1}))
		assert.True(t, queue.done)
	}
}

func TestAWorkerThatIsStopped(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, tracking := api.Click("", "")
	queue := what{err: errors.New("the queue is away")}
	w := &worker{queue: &queue, client: api.Client()}
	require.ErrorIs(t, w.handle(ctx, message{body(tracking), 1}), queue.err)
	assert.Equal(t, firstPause, queue.again)
}
