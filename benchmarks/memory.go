package main

import (
	"bytes"
	"io"
	"net/http"
)

// memory is the server without a socket: answers by path.
type memory map[string][]byte

// Header fields of every answer, as on the real server.
var (
	jsonType  = []string{"application/json; charset=utf-8"}
	requestID = []string{"req_1234abcd"}
	date      = []string{"Mon, 02 Mar 2026 09:15:27 GMT"}
)

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	status, text := http.StatusOK, "200 OK"
	body, ok := m[r.URL.Path]
	if !ok {
		status, text = http.StatusNotFound, "404 Not Found"
	}
	return &http.Response{
		Status: text, StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": jsonType, "Request-Id": requestID, "Date": date},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}
