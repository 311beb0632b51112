package sparkloop_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// wire is a server on a real socket with freely chosen bytes.
type wire struct {
	address string
	opened  atomic.Int64 // connections
}

// listen passes each connection to play, and closes it when play returns or the
// test ends.
func listen(t *testing.T, play func(net.Conn)) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{address: l.Addr().String()}
	ended := make(chan struct{})
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.opened.Add(1)
			conns.Go(func() {
				done := make(chan struct{})
				go func() {
					select {
					case <-ended:
					case <-done:
					}
					conn.Close()
				}()
				play(conn)
				close(done)
			})
		}
	})
	t.Cleanup(func() {
		close(ended)
		l.Close()
		conns.Wait()
	})
	return w
}

// answering reads a request, then calls play.
func answering(play func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			play(conn)
		}
	}
}

// send reports whether the client is still connected.
func send(conn net.Conn, text string) bool {
	_, err := io.WriteString(conn, text)
	return err == nil
}

// says answers a request with these bytes and ends the connection.
func says(answer string) func(net.Conn) { return floods(answer, "") }

// floods answers with a beginning, then repeats more until the client closes.
func floods(start, more string) func(net.Conn) {
	chunk := []byte(more) // once, because a test measures the process's memory
	return answering(func(conn net.Conn) {
		for there := send(conn, start); there && more != ""; {
			_, err := conn.Write(chunk)
			there = err == nil
		}
	})
}

// trickles answers with a beginning, then with a byte a second.
func trickles(start, rest string) func(net.Conn) {
	return answering(func(conn net.Conn) {
		send(conn, start)
		for i := range len(rest) {
			send(conn, rest[i:i+1])
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				return // the client has gone
			}
		}
	})
}

// silent sends nothing until the client closes.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// client returns a client with the SDK's own connections that retries at once.
func (w *wire) client(t *testing.T, opts ...sparkloop.Option) *sparkloop.Client {
	t.Helper()
	c, err := sparkloop.New(testKey, append([]sparkloop.Option{
		sparkloop.WithBaseURL("http://" + w.address + "/api/v2"),
		sparkloop.WithBackoff(1, 2),
		sparkloop.WithRateLimit(0, 0),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// allocated returns all memory that f allocates, including freed memory.
// Nothing else may run.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
