package capture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// writer adds the cookie when the response header is written: after all calls
// of Save and Clear, and after the last change of Cache-Control.
type writer struct {
	http.ResponseWriter

	c *Capture
	v *visit
	r *http.Request
}

// commit writes the cookie once.
func (w *writer) commit() {
	if !w.v.sent() {
		w.c.setCookie(w.Header(), w.r, w.v)
	}
}

// forClient returns the writer for the handler. It is a Flusher only if the
// wrapped writer is: handlers of server-sent events rely on the interface.
func (w *writer) forClient() http.ResponseWriter {
	if canFlush(w.ResponseWriter) {
		return flusher{w}
	}
	return w
}

type flusher struct{ *writer }

// Flush implements http.Flusher.
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

// WriteHeader does not commit on 1xx, such as 103 Early Hints: the header
// follows.
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

// ReadFrom lets net/http use sendfile.
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

// Hijack implements http.Hijacker. httputil.ReverseProxy writes the header of
// its 101 after this call.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.commit()
	}
	return conn, buffer, err
}

// Push implements http.Pusher.
func (w *writer) Push(target string, o *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, o)
	}
	return http.ErrNotSupported
}

// CloseNotify is required by gin's Context.Stream. The channel receives a value
// when the visitor has left.
func (w *writer) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.r.Context(), func() { gone <- true })
	return gone
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
