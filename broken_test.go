package sparkloop_test

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// Broken answers, and the result of the call. A case without an error text
// confirms the conversion.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	const (
		ok         = `{"message":"Conversion tracked successfully"}`
		start      = "HTTP/1.1 200 OK\r\n"
		chunked    = start + "Transfer-Encoding: chunked\r\n\r\n"
		unexpected = "200 OK: unexpected response: "
	)
	for name, tt := range map[string]struct {
		play     func(net.Conn)
		says     string
		status   int
		attempts int
	}{
		"HTTP/1.0":                       {says("HTTP/1.0 200 OK\r\n\r\n" + ok), "", 0, 0},
		"HTTP/1.0, cut":                  {says("HTTP/1.0 200 OK\r\n\r\n" + ok[:20]), unexpected + "the answer is not valid JSON", 200, 2},
		"HTTP/0.9":                       {says(ok), `malformed HTTP `, 0, 4},
		"chunked over HTTP/1.0":          {says("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + ok), "", 0, 0}, // 1.0 has no chunks
		"not HTTP":                       {says("SSH-2.0-OpenSSH_9.6\r\n"), `malformed HTTP response "SSH-2.0-OpenSSH_9.6"`, 0, 4},
		"a TLS alert":                    {says("\x15\x03\x01\x00\x02\x02\x0a"), "malformed HTTP response", 0, 4},
		"status 000":                     {says("HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\n{}"), "malformed HTTP status code 000", 0, 4},
		"status +99":                     {says("HTTP/1.1 +99 None\r\nContent-Length: 2\r\n\r\n{}"), "malformed HTTP status code 099", 0, 4},
		"status 2000":                    {says("HTTP/1.1 2000 OK\r\n\r\n" + ok), `malformed HTTP status code "2000"`, 0, 4},
		"status 999":                     {says("HTTP/1.1 999 No\r\n\r\n" + ok), "999: unexpected response", 999, 2},
		"nothing":                        {says(""), "EOF", 0, 4},
		"closed at once":                 {func(net.Conn) {}, "", -1, 4}, // EOF or a reset, either is possible
		"reset":                          {answering(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }), "connection reset by peer", 0, 4},
		"half closed":                    {answering(func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); silent(c) }), "EOF", 0, 4},
		"half closed in the header":      {halfClosed(start + "Content-Le"), "missing colon", 0, 4},
		"half closed in the body":        {halfClosed(start + "Content-Length: 46\r\n\r\n" + ok[:20]), unexpected + "reading the answer: unexpected EOF", 200, 4},
		"half closed behind the body":    {halfClosed(start + "\r\n" + ok), "", 0, 0},
		"closed for the client's part":   {answering(func(c net.Conn) { _ = c.(*net.TCPConn).CloseRead(); send(c, start+"\r\n"+ok) }), "", 0, 0},
		"a length that is too long":      {says(start + "Content-Length: 1000\r\n\r\n" + ok), unexpected + "reading the answer: unexpected EOF", 200, 4},
		"a negative length":              {says(start + "Content-Length: -1\r\n\r\n" + ok), `bad Content-Length "-1"`, 0, 4},
		"two lengths":                    {says(start + "Content-Length: 2\r\nContent-Length: 45\r\n\r\n" + ok), "multiple Content-Length headers", 0, 4},
		"no JSON in the chunk's length":  {says(chunked + "zz\r\n" + ok), unexpected + "reading the answer: invalid byte in chunk length", 200, 4},
		"a chunk cut":                    {says(chunked + "2d\r\n" + ok[:20]), unexpected + "reading the answer: unexpected EOF", 200, 4},
		"no last chunk":                  {says(chunked + "2d\r\n" + ok + "\r\n"), unexpected + "reading the answer: unexpected EOF", 200, 4},
		"a negative chunk":               {says(chunked + "-1\r\n" + ok), unexpected + "reading the answer: invalid byte in chunk length", 200, 4},
		"a chunk beyond an int64":        {says(chunked + "ffffffffffffffffff\r\n" + ok), unexpected + "reading the answer: http chunk length too large", 200, 4},
		"an unknown transfer encoding":   {says(start + "Transfer-Encoding: zstd\r\n\r\n" + ok), `unsupported transfer encoding: "zstd"`, 0, 4},
		"gzip that is none":              {says(start + "Content-Encoding: gzip\r\n\r\n" + ok), unexpected + "reading the answer: gzip: invalid header", 200, 4},
		"gzip of nothing":                {says(start + "Content-Encoding: gzip\r\n\r\n"), unexpected + "the answer is empty", 200, 2},
		"an encoding that nobody wanted": {says(start + "Content-Encoding: br\r\n\r\n\x0b\x02\x80{}\x03"), unexpected + "the answer is not a JSON object", 200, 2},
		"a header without a colon":       {says(start + "no colon\r\n\r\n" + ok), "missing colon", 0, 4},
		"a NUL in a header":              {says(start + "X-A: a\x00b\r\n\r\n" + ok), "malformed MIME header line", 0, 4},
		"UTF-16":                         {says(start + "\r\n\xff\xfe{\x00}\x00"), unexpected + "the answer is not a JSON object", 200, 2},
		"a byte order mark":              {says(start + "\r\n\xef\xbb\xbf" + ok), unexpected + "the answer is not a JSON object", 200, 2},
		"the answer as text":             {says(start + "Content-Type: text/plain\r\n\r\n" + ok), "", 0, 0},
		"the answer as an image":         {says(start + "Content-Type: image/png\r\n\r\n" + ok), "", 0, 0},
		"a page as JSON":                 {says(start + "Content-Type: application/json\r\n\r\n<html>"), unexpected + "the answer is not a JSON object", 200, 2},
		"204":                            {says("HTTP/1.1 204 No Content\r\n\r\n"), "204 No Content: unexpected response: the answer is empty", 204, 2},
		"205":                            {says("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"), "205 Reset Content: unexpected response: the answer is empty", 205, 2},
		"206":                            {says("HTTP/1.1 206 Partial Content\r\n\r\n" + ok[:20]), "206 Partial Content: unexpected response: the answer is not valid JSON", 206, 2},
		"200 with an error":              {says(start + "\r\n" + `{"message":"ok","error":"Submission not found"}`), "200 Submission not found: unexpected response: a success status with an error in the answer", 200, 1},
		"200 with an error and none":     {says(start + "\r\n" + `{"error":"Submission not found","error":null,"ERROR":""}`), "200 Submission not found: unexpected response: a success status with an error in the answer", 200, 1},
		"200 with no error and one":      {says(start + "\r\n" + `{"error":"","Error":false,"error":["no"]}`), `200 no: unexpected response: a success status with an error in the answer`, 200, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := listen(t, tt.play)
			confirmation, err := w.client(t).Conversions.Confirm(t.Context(), tracking)
			if tt.attempts == 0 {
				require.NoError(t, err)
				assert.Equal(t, &sparkloop.Confirmation{Message: "Conversion tracked successfully"}, confirmation)
				return
			}
			require.ErrorContains(t, err, tt.says)
			assert.Nil(t, confirmation)
			e := asError(t, err)
			assert.Equal(t, max(tt.status, 0), e.StatusCode)
			assert.Equal(t, tt.attempts, e.Attempts)
			assert.True(t, sparkloop.Retryable(err))
			for _, sentinel := range sentinels {
				if sentinel == sparkloop.ErrUnexpectedResponse { //nolint:errorlint // the very one
					assert.Equal(t, tt.status > 0, errors.Is(err, sentinel))
					continue
				}
				assert.NotErrorIs(t, err, sentinel)
			}
		})
	}
}

// halfClosed answers with these bytes only, and keeps reading.
func halfClosed(answer string) func(net.Conn) {
	return answering(func(conn net.Conn) {
		send(conn, answer)
		_ = conn.(*net.TCPConn).CloseWrite()
		silent(conn)
	})
}
