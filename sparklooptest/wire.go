package sparklooptest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is a request, its fault and its answer.
type exchange struct {
	fault Fault
	reply reply
	stop  error // the client or the server has gone away
}

// exchange handles one request, or applies a fault to it.
func (s *Server) exchange(ctx context.Context, r *http.Request) exchange {
	body, _ := io.ReadAll(http.MaxBytesReader(nil, readable(r.Body), 1<<20))
	e := exchange{fault: s.nextFault()}
	if e.fault.kind == delayed {
		timer := time.NewTimer(e.fault.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			e.stop = ctx.Err()
		case <-s.stopped:
			e.stop = net.ErrClosed
		}
	}
	switch e.fault.kind {
	case answered, endless:
		e.reply = e.fault.reply()
	case reset:
	default:
		if e.stop == nil {
			e.reply = s.answer(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header)
		}
	}
	seen := Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Header: r.Header.Clone(), Body: body, Status: e.reply.status,
	}
	if e.fault.kind == lost {
		seen.Status = 0
	}
	s.record(seen)
	return e
}

func readable(body io.ReadCloser) io.ReadCloser {
	if body == nil {
		return http.NoBody
	}
	return body
}

// inMemory is a transport without a socket.
type inMemory struct{ s *Server }

func (t inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	select {
	case <-t.s.stopped:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
	default:
	}
	defer readable(r.Body).Close()
	e := t.s.exchange(r.Context(), r)
	switch {
	case e.stop != nil:
		return nil, e.stop
	case e.fault.kind == reset:
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: errReset}
	case e.fault.kind == lost:
		return nil, io.ErrUnexpectedEOF
	}
	var body io.Reader = strings.NewReader(e.reply.body)
	length := int64(len(e.reply.body))
	switch e.fault.kind {
	case cut:
		half := e.reply.body[:len(e.reply.body)/2]
		body = io.MultiReader(strings.NewReader(half), broken{})
	case endless:
		body, length = io.MultiReader(strings.NewReader(endlessStart), spaces{}), -1
	}
	header := e.reply.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", e.reply.status, http.StatusText(e.reply.status)),
		StatusCode: e.reply.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: untilDone{r.Context(), body}, ContentLength: length, Request: r,
	}, nil
}

// untilDone is a body that ends with its request's context, as over a socket.
type untilDone struct {
	ctx  context.Context //nolint:containedctx // it is the request's
	from io.Reader
}

func (b untilDone) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.from.Read(p)
}

func (b untilDone) Close() error { return nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// endlessStart begins a JSON object that never ends.
const endlessStart = `{"message":"`

type spaces struct{}

var blank = bytes.Repeat([]byte(" "), 32<<10)

func (spaces) Read(p []byte) (int, error) { return copy(p, blank), nil }

// ServeHTTP serves the API. Faults that break the connection need a
// ResponseWriter that can be hijacked, as in HTTP/1.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := s.exchange(r.Context(), r)
	if e.stop != nil || e.fault.kind == reset || e.fault.kind == lost {
		hangUp(w, e.fault.kind == reset)
		return
	}
	maps.Copy(w.Header(), e.reply.header)
	body := e.reply.body
	switch e.fault.kind {
	case endless:
		w.WriteHeader(e.reply.status)
		for _, err := io.WriteString(w, endlessStart); err == nil; _, err = w.Write(blank) {
			select {
			case <-s.stopped:
				return
			default:
			}
		}
	case cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(e.reply.status)
		io.WriteString(w, body[:len(body)/2]) //nolint:errcheck // the client may be gone
		http.NewResponseController(w).Flush() //nolint:errcheck // likewise
		hangUp(w, false)
	default:
		w.WriteHeader(e.reply.status)
		io.WriteString(w, body) //nolint:errcheck // likewise
	}
}

// hangUp closes the connection, with a reset if rude is set.
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
