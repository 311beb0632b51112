package chaos

import (
	"bytes"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// api is a fake SparkLoop behind a faulty network, on a loopback socket.
type api struct {
	*sparklooptest.Server
	url string

	mu      sync.Mutex
	line    line
	broken  map[string]bool // by submission
	random  *rand.Rand
	counts  counts
	yes     map[string]int // by path: how often the conversion was confirmed
	arrived []time.Time    // of the requests that SparkLoop accepted
}

// line is the state of the network: the shares of requests that meet a fault, and
// the latency of the rest.
type line struct {
	lost, failed, reset float64
	latency             time.Duration // on average
	down                *outage
}

// outage is the answer to every request: a status, or a reset if it is 0.
type outage struct{ status int }

// counts are the API's figures.
type counts struct {
	requests int
	lost     int // answers to requests that were carried out
	failed   int // 5xx
	reset    int
	limited  int // 429
	refused  int // 401
	repeated int // "must be unique"
}

func newAPI(t *testing.T, options ...sparklooptest.Option) *api {
	t.Helper()
	fake, err := sparklooptest.Start(options...)
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	a := &api{
		Server: fake,
		url:    "http://" + listener.Addr().String() + "/api/v2",
		random: rand.New(rand.NewPCG(1, 2)),
		yes:    make(map[string]int),
	}
	server := &http.Server{
		Handler:           a,
		ErrorLog:          log.New(io.Discard, "", 0), // connections are broken on purpose
		ReadHeaderTimeout: 10 * time.Second,
	}
	go server.Serve(listener) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { server.Close() })
	return a
}

// set changes the line.
func (a *api) set(l line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line = l
}

// breaks makes the API answer 500 for these conversions.
func (a *api) breaks(ts []sparkloop.Tracking) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = make(map[string]bool)
	for _, t := range ts {
		a.broken[t.Submission] = true
	}
}

func (a *api) seen() counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// fate is the handling of one request.
type fate struct {
	status      int // replaces the API's answer
	reset, lost bool
	latency     time.Duration
}

// draw chooses a request's fate at random, and counts it.
func (a *api) draw(path string) fate {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.requests++
	f := fate{latency: time.Duration(2 * a.random.Float64() * float64(a.line.latency))}
	switch roll := a.random.Float64(); {
	case slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return a.broken[part] }):
		f.status = http.StatusInternalServerError
	case a.line.down != nil:
		f.status, f.reset = a.line.down.status, a.line.down.status == 0
	case roll < a.line.lost:
		f.lost = true
	case roll < a.line.lost+a.line.failed:
		all := []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable}
		f.status = all[a.random.IntN(len(all))]
	case roll < a.line.lost+a.line.failed+a.line.reset:
		f.reset = true
	}
	switch {
	case f.reset:
		a.counts.reset++
	case f.status != 0:
		a.counts.failed++
	}
	return f
}

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := a.draw(r.URL.Path)
	if !travel(r, f.latency/2) {
		return
	}
	switch {
	case f.reset:
		hangUp(w, true)
		return
	case f.status != 0:
		http.Error(w, "Service trouble", f.status)
		return
	}
	request := r.Clone(r.Context())
	request.RequestURI = ""
	answer, err := a.Transport().RoundTrip(request)
	if err != nil {
		return // the client has disconnected
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body) // in memory
	a.note(r.URL.Path, answer.StatusCode, body, f.lost)
	travel(r, f.latency/2)
	if f.lost {
		hangUp(w, false)
		return
	}
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	w.Write(body) //nolint:errcheck // the client may be gone
}

// note counts an answer of the API.
func (a *api) note(path string, status int, body []byte, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if lost {
		a.counts.lost++
	}
	switch {
	case status == http.StatusTooManyRequests:
		a.counts.limited++
		return
	case status == http.StatusUnauthorized:
		a.counts.refused++
	case status == http.StatusOK:
		a.yes[path]++
	case bytes.Contains(body, []byte("must be unique")):
		a.counts.repeated++
	}
	a.arrived = append(a.arrived, time.Now())
}

// twice returns how many conversions were confirmed more than once.
func (a *api) twice() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, times := range a.yes {
		if times > 1 {
			n++
		}
	}
	return n
}

// within returns the number of requests in an interval of length d. The interval
// begins with the first request after since. within returns 0 until its end.
func (a *api) within(since time.Time, d time.Duration) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first time.Time
	n := 0
	for _, at := range a.arrived {
		if first.IsZero() && at.After(since) {
			first = at
		}
		if !first.IsZero() && at.Sub(first) < d {
			n++
		}
	}
	if first.IsZero() || time.Since(first) < d {
		return 0
	}
	return n
}

// travel takes the latency, and returns false if the client disconnects meanwhile.
func travel(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// hangUp closes the connection, with a reset if rude is true.
func hangUp(w http.ResponseWriter, rude bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && rude {
		tcp.SetLinger(0) //nolint:errcheck // without it the connection ends politely
	}
	conn.Close()
}
