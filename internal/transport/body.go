package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

const (
	// MaxBody is the largest body that is read, after decompression.
	MaxBody = 8 << 20
	// keepBuffer is the largest buffer that is kept for the next call.
	keepBuffer = 1 << 20
	// trustedLength is how much is set aside on a Content-Length's word alone.
	trustedLength = 512 << 10
)

// ErrTooLarge is matched when a body was longer than MaxBody.
var ErrTooLarge = errors.New("the body is larger than 8 MiB")

// readBody appends the body to buf. On an error it returns what came before.
func readBody(buf []byte, resp *http.Response) ([]byte, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return buf, nil // the body is the connection itself, and no context ends a read of it
	}
	if resp.ContentLength > MaxBody {
		return buf, ErrTooLarge
	}
	// One byte more than announced, to see the end without growing.
	buf = slices.Grow(buf, int(min(max(resp.ContentLength, 511), trustedLength))+1)
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		free := buf[len(buf):min(cap(buf), MaxBody+1)]
		n, err := resp.Body.Read(free)
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > MaxBody:
			return buf[:MaxBody], ErrTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, fmt.Errorf("reading the answer: %w", err)
		}
	}
}
