package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// noKey has a server that repeats the key in all its answers.
func noKey(w *world) {
	const key = "marked-key-5f0c2e"
	w.serve(sparklooptest.WithAPIKey(key))
	p := w.open(outbox.Options{})
	yes, no, later := w.click(), w.click(), w.click()
	w.wire.say(yes, http.StatusOK, `{"message":"Tracked for `+key+`"}`)
	w.wire.say(no, http.StatusUnprocessableEntity, `{"error":"Refused for `+key+`"}`)
	w.wire.say(later, http.StatusInternalServerError, `{"error":"Broken for `+key+`"}`)
	p.enqueue(yes, no, later)
	entries := []outbox.Entry{
		p.become(yes, outbox.Confirmed),
		p.become(no, outbox.Dead),
		p.until(later, outbox.Pending, func(e outbox.Entry) bool { return e.Attempts > 1 }),
	}
	for i, words := range []string{"Tracked for ", "Refused for ", "Broken for "} {
		assert.Contains(w.t, entries[i].Reason, words)
	}
	w.pause(p, sparklooptest.Status(401, `{"error":"No user has the key `+key+`"}`, "X-Request-Key", key), 3)
	s := p.stats()
	require.Contains(w.t, s.PausedReason, "No user has the key")
	w.recover()
	w.pause(p, sparklooptest.Status(503, `<p>`+key, "X-Key", key), 3)

	asJSON, err := json.Marshal(s)
	require.NoError(w.t, err)
	confirmed, died, paused := p.told()
	for what, text := range map[string]string{
		"the log":     p.log.String(),
		"stats":       fmt.Sprintf("%+v %s", s, asJSON),
		"entries":     fmt.Sprintf("%+v", entries),
		"hooks":       fmt.Sprintf("%+v %+v %+v", confirmed, died, paused),
		"the queue":   fmt.Sprintf("%+v %#v", p.Queue, p.Queue),
		"the client":  fmt.Sprintf("%+v %#v", p.Client(), p.Client()),
		"the pending": fmt.Sprintf("%+v", p.list(outbox.Pending)),
	} {
		assert.NotContains(w.t, text, key, what)
	}
	_, err = p.Client().Conversions.Confirm(w.ctx(), later)
	assert.NotContains(w.t, fmt.Sprintf("%v %+v %#v", err, err, err), key)
}
