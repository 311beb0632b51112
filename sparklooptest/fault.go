package sparklooptest

import (
	"fmt"
	"net/http"
	"time"
)

// Fault is a failure for [Server.Fail].
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

// order is a fault and the number of requests that it still applies to.
type order struct {
	fault Fault
	times int // negative: always
}

// Status answers with a status, a body, and headers as pairs of name and value.
// The request has no effect. A body that starts with a brace is JSON and any
// other body HTML, unless a header overrides it. Status panics if the status is
// outside 200 to 599, or if a name has no value.
func Status(code int, body string, header ...string) Fault {
	if len(header)%2 != 0 {
		panic("sparklooptest: Status: a header has no value")
	}
	if code < 200 || code > 599 {
		panic(fmt.Sprintf("sparklooptest: Status: the status %d is not between 200 and 599", code))
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

// Delay waits before the server handles and answers the request. If the client
// gives up first, the request has no effect.
func Delay(d time.Duration) Fault { return Fault{kind: delayed, delay: d} }

// Reset breaks the connection. The request has no effect.
func Reset() Fault { return Fault{kind: reset} }

// LostAnswer handles the request and breaks the connection before the answer:
// the conversion is confirmed, and the client gets an error.
func LostAnswer() Fault { return Fault{kind: lost} }

// CutBody handles the request and breaks the connection in the middle of the
// answer's body.
func CutBody() Fault { return Fault{kind: cut} }

// HTMLPage answers 200 with an HTML page, as a captive portal does. The request
// has no effect.
func HTMLPage() Fault {
	return Status(http.StatusOK, "<!doctype html><title>Welcome</title><p>Please sign in to the network.</p>")
}

// EndlessBody answers 200 with a body that never ends. The request has no
// effect.
func EndlessBody() Fault {
	return Fault{kind: endless, status: http.StatusOK, header: http.Header{"Content-Type": {jsonType}}}
}

// Redirect answers 302 with a Location header. The request has no effect.
func Redirect(location string) Fault { return Status(http.StatusFound, "", "Location", location) }

// Fail makes the next requests fail with f, as many as times. A negative number
// means every request from now on. 0 cancels all pending faults. Faults of several
// calls apply one after the other. A client's retries are requests too, so one
// confirmation may meet several faults.
func (s *Server) Fail(f Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if times == 0 {
		s.faults = nil
		return
	}
	s.faults = append(s.faults, order{f, times})
}

// Faults returns the pending faults, the next first: "status 503, every
// request" or "reset, 2 requests".
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

// String returns the fault's name.
func (f Fault) String() string {
	switch f.kind {
	case answered:
		return fmt.Sprintf("status %d", f.status)
	case delayed:
		return "delay " + f.delay.String()
	}
	return [...]string{reset: "reset", lost: "lost answer", cut: "cut body", endless: "endless body", noFault: "no fault"}[f.kind]
}
