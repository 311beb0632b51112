package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func TestInterruptedAndStartedAgainItGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := sparklooptest.NewServer(t)
		ts, rows := clicks(api, 30)
		d := newDeskInMemory(t, api)
		api.Fail(sparklooptest.Delay(0), 12)
		api.Fail(sparklooptest.Delay(24*time.Hour), -1)
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan outcome)
		go func() { ended <- d.list(ctx, rows...) }()
		synctest.Wait() // 12 are answered, and one call of each worker hangs
		interrupt()
		got := <-ended
		assert.Equal(t, exitInterrupted, got.code, got)
		assert.Contains(t, got.stderr, "interrupted. The same command goes on from here.")
		assert.Contains(t, got.stdout, "confirmed now                 12")
		assert.Contains(t, got.stdout, "to try again                  18")
		assert.Contains(t, got.stdout, "4  stopped before the answer came")
		assert.Contains(t, got.stdout, "14  not asked yet")
		assert.Equal(t, 19, strings.Count(d.read(t, "retry.csv"), "\n"), "a header and what is not done")
		done := make(map[string]bool)
		for _, tracking := range ts {
			done[tracking.Key()] = api.Confirmed(tracking)
		}

		before := len(api.Requests())
		api.Fail(sparklooptest.Delay(0), 0)
		got = d.list(t.Context(), rows...)
		assert.Equal(t, exitDone, got.code, got)
		assert.Contains(t, got.stdout, "confirmed now                 18")
		assert.Contains(t, got.stdout, "confirmed by earlier runs     12")
		assert.Len(t, api.Requests(), before+18)
		for _, r := range api.Requests()[before:] {
			parts := strings.Split(r.Path, "/")
			assert.False(t, done[parts[4]+"/"+parts[6]], "sent again: %s", r.Path)
		}
		assert.Empty(t, d.read(t, "retry.csv"))
	})
}

func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	d := newDesk(t, api)
	stdin, typist := io.Pipe()
	defer typist.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	got := d.run(ctx, stdin, d.listArgs()...)
	assert.Equal(t, exitInterrupted, got.code)
	assert.Contains(t, got.stderr, "nothing was sent")
	assert.Empty(t, api.Requests())
}

func TestAListThatBreaksOffIsNotSent(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	d := newDesk(t, api)
	got := d.run(t.Context(), io.MultiReader(strings.NewReader("offer_1,submis"), broken{}), d.listArgs()...)
	assert.Equal(t, exitIncomplete, got.code)
	assert.Contains(t, got.stderr, "nothing was sent")
	assert.Empty(t, api.Requests())
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestCallsThatWouldAllFailAlikeStopTheRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		key   string
		fault sparklooptest.Fault
		most  int // requests
		says  string
		why   string
	}{
		{"wrong key", "wrong", sparklooptest.Fault{}, workers, "stopped early: SparkLoop does not accept the key: look at SPARKLOOP_API_KEY. ", "unauthorized"},
		{"told to wait", sparklooptest.APIKey, sparklooptest.Status(http.StatusServiceUnavailable, "", "Retry-After", "600"), workers, "stopped early: SparkLoop asks to wait: try again in 10m0s", "503 Service Unavailable"},
		{"outage", sparklooptest.APIKey, sparklooptest.Reset(), enough + workers, "stopped early: 10 calls in a row failed", "no answer"},
		{"something else answers", sparklooptest.APIKey, sparklooptest.HTMLPage(), enough + workers, "stopped early: 10 calls in a row failed", "unexpected response"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := sparklooptest.NewServer(t)
			_, rows := clicks(api, 60)
			d := newDesk(t, api)
			d.env["SPARKLOOP_API_KEY"] = tt.key
			d.opts = append(d.opts, sparkloop.WithRetries(0))
			if tt.key == sparklooptest.APIKey {
				api.Fail(tt.fault, -1)
			}
			got := d.list(t.Context(), rows...)
			assert.Equal(t, exitIncomplete, got.code)
			assert.Contains(t, got.stderr, tt.says)
			assert.Equal(t, 1, strings.Count(got.stderr, "\n"), "one clear line: %s", got.stderr)
			assert.Contains(t, got.stdout, tt.why)
			assert.Contains(t, got.stdout, "not asked yet")
			assert.LessOrEqual(t, len(api.Requests()), tt.most)
			assert.Equal(t, "offer,submission\n"+strings.Join(rows, "\n")+"\n", d.read(t, "retry.csv"), "all of them are kept")

			api.Fail(tt.fault, 0)
			d.env["SPARKLOOP_API_KEY"] = sparklooptest.APIKey
			assert.Equal(t, exitDone, d.list(t.Context(), d.read(t, "retry.csv")).code)
		})
	}
}

func TestAJournalThatCannotBeWrittenStopsTheRun(t *testing.T) {
	t.Parallel()
	api := sparklooptest.NewServer(t)
	_, rows := clicks(api, 60)
	j, err := openJournal(t.TempDir()+"/journal", "scope")
	require.NoError(t, err)
	j.close()
	l := list{client: api.Client(), journal: j, stderr: io.Discard}
	stopped := l.confirmAll(t.Context(), parse(strings.Join(rows, "\n")).conversions)
	assert.ErrorContains(t, stopped, "the journal cannot be written")
	assert.LessOrEqual(t, len(api.Requests()), workers)
}
