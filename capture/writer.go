package capture

import (
	"bufio"
	"context"
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

// Flush is for those who ask for an http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController.
func (w *writer) FlushError() error {
	w.commit()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is for those who ask for an http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
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
