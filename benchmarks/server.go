package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serveFlag makes the program run the server: -serve with the delay of its
// answers. It reads commands from standard input, one word per line.
const serveFlag = "serve"

// Commands and replies of the server.
const (
	tellCount = "count" // print the number of opened connections
	tellBreak = "break" // close the connection at the next request
	tellHold  = "hold"  // hold the next request until the client goes away
	sayReady  = "ready"
	sayHeld   = "held" // the request to hold has arrived
)

// serve answers on a loopback port until its standard input ends.
func serve(takes time.Duration, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var opened atomic.Int64
	var order atomic.Value // tellBreak, tellHold or ""
	order.Store("")
	answers := replies()
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch order.Swap("") {
			case tellBreak:
				panic(http.ErrAbortHandler)
			case tellHold:
				fmt.Fprintln(out, sayHeld)
				<-r.Context().Done()
				return
			}
			time.Sleep(takes)
			body, ok := answers[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Header()["Content-Type"], w.Header()["Request-Id"] = jsonType, requestID
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body) //nolint:errcheck // the client may be gone
		}),
	}
	go server.Serve(l) //nolint:errcheck // until the process ends
	fmt.Fprintln(out, "http://"+l.Addr().String())
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch word := lines.Text(); word {
		case tellCount:
			fmt.Fprintln(out, opened.Load())
		case tellBreak, tellHold:
			order.Store(word)
			fmt.Fprintln(out, sayReady)
		}
	}
	return nil
}

// process is the server in a separate process.
type process struct {
	url  string
	cmd  *exec.Cmd
	in   io.WriteCloser
	says *bufio.Reader
}

// start starts this program as a server with the given delay of its answers.
func start(takes time.Duration) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-"+serveFlag, takes.String()) //nolint:gosec,noctx // this program itself; stop ends it
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, says: bufio.NewReader(out)}
	if p.url, err = p.hear(); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// tell sends a command to the server and returns its reply.
func (p *process) tell(word string) (string, error) {
	if _, err := io.WriteString(p.in, word+"\n"); err != nil {
		return "", err
	}
	return p.hear()
}

func (p *process) hear() (string, error) {
	line, err := p.says.ReadString('\n')
	return strings.TrimSpace(line), err
}

// stop ends the server and waits for it.
func (p *process) stop() error {
	p.in.Close()
	return p.cmd.Wait()
}
