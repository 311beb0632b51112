package transport

import (
	"context"
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
	// trustedLength is the most that is allocated for a Content-Length.
	trustedLength = 512 << 10
)

// ErrTooLarge means that a body was longer than MaxBody.
var ErrTooLarge = errors.New("the body is larger than 8 MiB")

// emptyReads is how many reads in a row may return neither a byte nor an error.
const emptyReads = 100

// readBody appends the body to buf. On an error it returns what came before.
func readBody(ctx context.Context, buf []byte, resp *http.Response) ([]byte, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return buf, nil // the body is the connection itself, and no context ends a read of it
	}
	if resp.ContentLength > MaxBody {
		return buf, ErrTooLarge
	}
	// One byte more than announced, to see the end without growing.
	buf = slices.Grow(buf, int(min(max(resp.ContentLength, 511), trustedLength))+1)
	for empty := 0; ; {
		switch {
		case len(buf) < cap(buf):
		case len(buf) < keepBuffer:
			buf = slices.Grow(buf, len(buf))
		default: // at once: doubling on would take twice as much in all
			buf = slices.Grow(buf, MaxBody)
		}
		free := buf[len(buf):min(cap(buf), MaxBody+1)]
		n, err := resp.Body.Read(free)
		buf = buf[:len(buf)+n]
		if empty++; n > 0 {
			empty = 0
		}
		switch {
		case len(buf) > MaxBody:
			return buf[:MaxBody], ErrTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, fmt.Errorf("reading the answer: %w", err)
		case empty > 0 && ctx.Err() != nil:
			return buf, fmt.Errorf("reading the answer: %w", ctx.Err())
		case empty >= emptyReads:
			return buf, fmt.Errorf("reading the answer: %w", io.ErrNoProgress)
		}
	}
}
