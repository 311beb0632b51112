package sparklooptest

import (
	"fmt"
	"net/http"
	"time"
)

// Fault is a way to fail, for [Server.Fail].
type Fault struct {
	kind   faultKind
	status int
	header http.Header
	body   string
	delay  time.Duration
}

type faultKind int

const (
	noFault faultKind = iota
	answered
	delayed
	reset
	lost
	cut
	endless
)

// order is a fault and how often it is still to come.
type order struct {
	fault Fault
	times int // negative: always
}

// Status answers with a status and a body, and with headers given as names and
// values in turn. The request is not carried out. A body that begins with a
// brace is JSON, any other HTML, unless a header says otherwise. A status
// outside 200 to 599, or a name without a value, panics.
func Status(code int, body string, header ...string) Fault {
	if len(header)%2 != 0 {
		panic("sparklooptest: Status: a header without a value")
	}
	if code < 200 || code > 599 {
		panic(fmt.Sprintf("sparklooptest: Status: %d is no status of an answer", code))
	}
	f := Fault{kind: answered, status: code, body: body, header: http.Header{}}
	if body != "" {
		f.header.Set("Content-Type", "text/html; charset=utf-8")
		if body[0] == '{' {
			f.header.Set("Content-Type", jsonType)
		}
	}
	for i := 0; i < len(header); i += 2 {
		f.header.Set(header[i], header[i+1])
	}
	return f
}

// Delay holds the request back, then carries it out and answers. If the client
// gives up before that, the request is not carried out.
func Delay(d time.Duration) Fault { return Fault{kind: delayed, delay: d} }

// Reset breaks the connection; the request is not carried out.
func Reset() Fault { return Fault{kind: reset} }

// LostAnswer carries the request out and breaks the connection before the
// answer: the conversion is confirmed, and the client cannot know.
func LostAnswer() Fault { return Fault{kind: lost} }

// CutBody carries the request out and breaks the connection in the middle of
// the answer's body.
func CutBody() Fault { return Fault{kind: cut} }

// HTMLPage answers 200 with a page that is not the API's, as a proxy or a
// captive portal does. The request is not carried out.
func HTMLPage() Fault {
	return Status(http.StatusOK, "<!doctype html><title>Welcome</title><p>Please sign in to the network.</p>")
}

// EndlessBody answers 200 with a body that never ends. The request is not
// carried out.
func EndlessBody() Fault {
	return Fault{kind: endless, status: http.StatusOK, header: http.Header{"Content-Type": {jsonType}}}
}

// Redirect answers with a redirect, a 302, to somewhere else. The request is
// not carried out.
func Redirect(location string) Fault { return Status(http.StatusFound, "", "Location", location) }

// Fail makes the next requests fail with f, that many of them. A negative number
// means every request from now on; 0 calls off all faults ordered so far.
// Faults of several calls of Fail come one after the other. A client's retries
// are requests too: one confirmation may meet several faults.
func (s *Server) Fail(f Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if times == 0 {
		s.faults = nil
		return
	}
	s.faults = append(s.faults, order{f, times})
}

// Faults describes what is still to come of the faults ordered with Fail, the next
// first: "status 503, every request" or "reset, 2 requests".
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]string, len(s.faults))
	for i, o := range s.faults {
		switch {
		case o.times < 0:
			all[i] = o.fault.String() + ", every request"
		case o.times == 1:
			all[i] = o.fault.String() + ", 1 request"
		default:
			all[i] = fmt.Sprintf("%v, %d requests", o.fault, o.times)
		}
	}
	return all
}

// nextFault takes the fault for one request.
func (s *Server) nextFault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 {
		return Fault{}
	}
	next := &s.faults[0]
	f := next.fault
	if next.times--; next.times == 0 {
		s.faults = s.faults[1:]
	}
	return f
}

func (f Fault) reply() reply { return reply{status: f.status, header: f.header, body: f.body} }

// String names the fault, for a test's output.
func (f Fault) String() string {
	switch f.kind {
	case answered:
		return fmt.Sprintf("status %d", f.status)
	case delayed:
		return "delay " + f.delay.String()
	}
	return [...]string{reset: "reset", lost: "lost answer", cut: "cut body", endless: "endless body", noFault: "no fault"}[f.kind]
}
