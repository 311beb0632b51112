package conformance

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// wire is the network between the processes and SparkLoop. It notes all requests,
// and can answer those of a single conversion.
type wire struct {
	api http.RoundTripper
	now func() time.Time // on SparkLoop's clock

	mu     sync.Mutex
	sent   []request
	script map[string]said
}

// request is a request of a process, and its result.
type request struct {
	from         *process
	conversion   string // its Key
	began, ended time.Time
	status       int // 0: no answer came
}

// said is an answer in SparkLoop's place.
type said struct {
	status int
	body   string
}

// say sets the answer to all requests of a conversion from now on.
func (n *wire) say(t sparkloop.Tracking, status int, body string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.script[t.Key()] = said{status, body}
}

// unsay lets SparkLoop answer again.
func (n *wire) unsay(t sparkloop.Tracking) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.script, t.Key())
}

// requests returns all requests that have ended, in the order of their beginnings.
func (n *wire) requests() []request {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := slices.Clone(n.sent)
	slices.SortStableFunc(all, func(a, b request) int { return a.began.Compare(b.began) })
	return all
}

// count returns the number of requests, or of those for the given conversions.
func (n *wire) count(ts ...sparkloop.Tracking) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(ts) == 0 {
		return len(n.sent)
	}
	found := 0
	for _, r := range n.sent {
		if r.conversion == ts[0].Key() {
			found++
		}
	}
	return found
}

// answers counts the answers with a status.
func (n *wire) answers(status int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := 0
	for _, r := range n.sent {
		if r.status == status {
			found++
		}
	}
	return found
}

// line is one process's end of the wire.
type line struct {
	wire *wire
	from *process

	mu     sync.Mutex
	key    string                      // sent in place of the client's, unless empty
	before func(r *http.Request) error // called when a request is on its way
	after  func(r *http.Request)       // called when the answer is on its way back
	cut    bool                        // the process is dead
}

func (l *line) set(change func(l *line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *line) get() (key string, before func(*http.Request) error, after func(*http.Request), cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.key, l.before, l.after, l.cut
}

// RoundTrip implements [http.RoundTripper].
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := request{from: l.from, conversion: conversionOf(r.URL.Path), began: time.Now()}
	key, before, after, _ := l.get()
	if before != nil {
		if err := before(r); err != nil {
			return nil, err
		}
	}
	if _, _, _, cut := l.get(); cut {
		return nil, syscall.ENETDOWN
	}
	if key != "" {
		r = r.Clone(r.Context())
		r.Header.Set("X-Api-Key", key)
	}
	resp, err := l.wire.carry(r, sent.conversion)
	if resp != nil {
		sent.status = resp.StatusCode
	}
	sent.ended = time.Now()
	l.wire.mu.Lock()
	l.wire.sent = append(l.wire.sent, sent)
	l.wire.mu.Unlock()
	if after != nil {
		after(r)
	}
	return resp, err
}

func (n *wire) carry(r *http.Request, conversion string) (*http.Response, error) {
	n.mu.Lock()
	s, ok := n.script[conversion]
	n.mu.Unlock()
	if !ok {
		return n.api.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: s.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Date": {n.now().UTC().Format(http.TimeFormat)}},
		Body:          io.NopCloser(strings.NewReader(s.body)),
		ContentLength: int64(len(s.body)), Request: r,
	}, nil
}

// conversionOf returns the Key of the conversion in a path, or "".
func conversionOf(path string) string {
	_, rest, _ := strings.Cut(path, "/offers/")
	parts := strings.Split(rest, "/")
	if len(parts) != 4 {
		return ""
	}
	return parts[0] + "/" + parts[2]
}
