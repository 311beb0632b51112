package capture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// writer puts the cookie on the response when its header is written: then
// nobody can change Cache-Control after it, and Save and Clear have been called.
type writer struct {
	http.ResponseWriter

	c *Capture
	v *visit
	r *http.Request
}

// commit writes the cookie once, whichever way the response begins.
func (w *writer) commit() {
	if !w.v.sent() {
		w.c.setCookie(w.Header(), w.r, w.v)
	}
}

// forClient is the writer for the handler: a Flusher only if what it wraps is
// one. Server-sent events take an http.Flusher for a promise.
func (w *writer) forClient() http.ResponseWriter {
	if canFlush(w.ResponseWriter) {
		return flusher{w}
	}
	return w
}

type flusher struct{ *writer }

// Flush is for handlers that look for an http.Flusher.
func (f flusher) Flush() { _ = f.FlushError() }

// canFlush reports whether http.ResponseController can flush w.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch u := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = u.Unwrap()
		default:
			return false
		}
	}
}

// WriteHeader passes 103 Early Hints and its like by; the header is yet to come.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.commit()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.commit()
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps the way open on which net/http sends files.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	w.commit()
	return io.Copy(w.ResponseWriter, src)
}

// FlushError is for http.ResponseController.
func (w *writer) FlushError() error {
	if !canFlush(w.ResponseWriter) {
		return fmt.Errorf("capture: %w", http.ErrNotSupported)
	}
	w.commit()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is for handlers that look for an http.Hijacker. httputil.ReverseProxy
// writes the header of its 101 to the connection after that.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.commit()
	}
	return conn, buffer, err
}

// Push is for handlers that look for an http.Pusher.
func (w *writer) Push(target string, o *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, o)
	}
	return http.ErrNotSupported
}

// CloseNotify is for gin, whose Context.Stream takes it for granted. The
// channel gets a value when the visitor has left.
func (w *writer) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.r.Context(), func() { gone <- true })
	return gone
}

// Unwrap lets http.ResponseController find everything else.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
