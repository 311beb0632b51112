package reply_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
	"github.com/sparkloop-go/sparkloop/internal/reply"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

func answer(status int, body string, header ...string) *transport.Answer {
	a := &transport.Answer{URL: &url.URL{Scheme: "https", Host: "api.example", Path: "/v2/offers"}, StatusCode: status, Header: http.Header{}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		a.Header.Add(header[i], header[i+1])
	}
	return a
}

func read(a *transport.Answer, proven bool) reply.Meaning {
	return reply.Read(a, new(reply.Envelope), proven)
}

// Every status with every kind of body: the form's verdict, and whether the
// failure is final.
func TestStatuses(t *testing.T) {
	t.Parallel()
	bodies := map[string]struct {
		body    string
		refusal reply.Refusal
		text    bool
	}{
		"empty":         {"", reply.None, false},
		"page":          {"<html>", reply.None, false},
		"no text":       {`{"id":7}`, reply.None, false},
		"unknown words": {`{"error":"This offer is on holiday"}`, reply.None, true},
		"known":         {`{"error":"Submission not found"}`, reply.SubmissionNotFound, true},
		"known already": {`{"errors":["Offer submission must be unique"]}`, reply.AlreadyConfirmed, true},
	}
	for status := 200; status <= 620; status++ {
		for name, body := range bodies {
			for _, proven := range []bool{false, true} {
				m := read(answer(status, body.body), proven)
				known := body.refusal != reply.None
				about := status >= 400 && status <= 499 && status != 401 && status != 403 && status != 407 && status != 408 && status != 425 && status != 429
				var want reply.Meaning
				switch {
				case status < 300 && name == "no text":
					want = reply.Meaning{OK: true, Form: endpoint.Proven}
				case status < 300 && known:
					want = reply.Meaning{Unexpected: true, Form: endpoint.Proven}
				case status < 400 || status > 599:
					want = reply.Meaning{Unexpected: true, Form: endpoint.Other}
				case known && about:
					want = reply.Meaning{Refusal: body.refusal, Final: true, Form: endpoint.Proven}
				case status == 404 || status == 405:
					want = reply.Meaning{Form: endpoint.Absent}
				case status == 429 || status == 500 || status == 502 || status == 503 || status == 504:
					want = reply.Meaning{Form: endpoint.Unclear}
				case status == 400 || status == 409 || status == 410 || status == 422:
					want = reply.Meaning{Final: proven && body.text, Form: endpoint.Other}
				default:
					want = reply.Meaning{Form: endpoint.Other}
				}
				m.Text, m.Detail = "", ""
				assert.Equal(t, want, m, "%d, %s, proven: %t", status, name, proven)
			}
		}
	}
}

func TestAnAnswerThatIsNotWhole(t *testing.T) {
	t.Parallel()
	for status, form := range map[int]endpoint.Verdict{200: endpoint.Unclear, 404: endpoint.Unclear, 422: endpoint.Unclear, 503: endpoint.Unclear, 401: endpoint.Unclear, 302: endpoint.Unclear} {
		a := answer(status, `{"error":"Submission not found"}`)
		a.Err = io.ErrUnexpectedEOF
		m := read(a, true)
		assert.Equal(t, form, m.Form, status)
		assert.False(t, m.OK || m.Final, status)
		assert.Equal(t, reply.None, m.Refusal)
		assert.Equal(t, status < 400, m.Unexpected)
		a.Err = transport.ErrTooLarge
		assert.Equal(t, reply.Meaning{Unexpected: true, Form: endpoint.Other}, read(a, true))
	}
	none := answer(0, "")
	none.Err = io.EOF
	assert.Equal(t, reply.Meaning{Form: endpoint.Unclear}, read(none, true))
}

// Answers that are not from the API.
func TestPages(t *testing.T) {
	t.Parallel()
	const page = `<!DOCTYPE html><html><head><TITLE class="x">Attention Required! |
		Cloudflare</TITLE></head>`
	for want, a := range map[string]*transport.Answer{
		`answered by an HTML page "Attention Required! | Cloudflare" from the server "cloudflare"`: answer(403, page, "Server", "cloudflare"),
		`answered by an HTML page "Attention Required! | Cloudflare"`:                              answer(503, page),
		`answered by an HTML page`:                                       answer(403, " <html>"),
		`answered by an HTML page from the server "nginx/1.2"`:           answer(502, "<html>", "Server", "nginx/1.2"),
		`answered by the text "error code: 1020"`:                        answer(403, "error code:\n1020\n"),
		`answered by the text "` + strings.Repeat("x", 100) + `..."`:     answer(403, strings.Repeat("x", 101)),
		`answered by the text "` + strings.Repeat("y", 100) + `"`:        answer(403, strings.Repeat("y", 100)),
		`answered by the text "` + strings.Repeat("ü", 50) + `..."`:      answer(403, strings.Repeat("ü", 1000)),
		`answered by the text "[\"no\"]"`:                                answer(422, `["no"]`),
		`answered by the text "a b"`:                                     answer(422, "a\xffb"),
		``:                                                               answer(403, " \n", "Server", "cloudflare"),
		`a redirect to login.example`:                                    answer(302, "", "Location", "https://login.example/x"),
		`a redirect to api.example`:                                      answer(308, "<html>", "Location", "/v3/offers"),
		`the answer is empty`:                                            answer(200, ""),
		`the answer is not valid JSON`:                                   answer(200, `{"a":`),
		`the answer is not a JSON object, answered by an HTML page "Hi"`: answer(200, "<title>Hi</title>"),
		`a success status with an error in the answer`:                   answer(200, `{"error":1}`),
		`a success status with a refusal as the message`:                 answer(200, `{"message":"OFFER not found"}`),
		`a success status with an error's "status" in the answer`:        answer(200, `{"status":400}`),
		`a success status with "success": false or "ok": false`:          answer(200, `{"ok":false}`),
	} {
		assert.Equal(t, want, read(a, false).Detail)
	}
	assert.Empty(t, read(answer(500, "<html>"), false).Detail, "the status says as much")
	assert.Equal(t, "answered by an HTML page", read(answer(499, "<html>"), false).Detail)
	assert.Empty(t, read(answer(302, "", "Location", "http://[bad"), false).Detail)
	assert.Empty(t, read(answer(600, "", "Location", "https://login.example/x"), false).Detail, "no redirect")
	assert.Equal(t, `answered by an HTML page`, read(answer(403, "<html>"+strings.Repeat(" ", 16<<10)+"<title>late</title>"), false).Detail)
}

// A 2xx is no success if one of its members is false or an error, in any
// spelling.
func TestASuccessThatSaysNo(t *testing.T) {
	t.Parallel()
	yes := []string{
		`{}`, `{"success":true}`, `{"success":"true"}`, `{"success":1}`, `{"ok":"OK"}`, `{"ok":null}`, `{"success":{}}`, `{"success":[]}`, `{"success":"nothing"}`,
		`{"status":null}`, `{"status":true}`, `{"status":"ok"}`, `{"status":"failsafe"}`, `{"status":200}`, `{"status":"201"}`, `{"status":399}`, `{"status":"399 x"}`, `{"status":40}`, `{"status":""}`,
		`{"status":"confirmed 500"}`, `{"error":null,"errors":[]}`, `{"error":{},"message":"Conversion tracked successfully"}`, `{"message":["x"]}`, `{"message":"Offer page not found"}`,
	}
	no := []string{
		`{"success":false}`, `{"success":"false"}`, `{"success":" FALSE "}`, `{"success":0}`, `{"success":"0"}`, `{"ok":false}`, `{"ok":"no"}`, `{"OK":"No"}`, `{"ok":true,"ok":false}`, `{"ok":false,"ok":true}`,
		`{"status":false}`, `{"status":"error"}`, `{"status":"Errors"}`, `{"status":"fail"}`, `{"status":"failed"}`, `{"status":"FAILURE"}`, `{"status":400}`, `{"status":"400"}`, `{"status":404.0}`, `{"status":"404 Not Found"}`,
		`{"status":999}`, `{"status":1000}`, `{"status":500,"status":200}`, `{"error":1}`, `{"error":"x"}`, `{"errors":["x"]}`, `{"errors":{"a":["x"]}}`, `{"errors":[null]}`, `{"error":" "}`, `{"error":{"message":"x"}}`,
		`{"message":"Submission not found"}`, `{"message":["Offer submission must be unique"]}`, `{"message":{"title":"Offer not found"}}`, `{"error":"x","error":""}`, `{"ERROR":"x"}`,
	}
	for _, body := range yes {
		assert.True(t, read(answer(200, body), false).OK, body)
	}
	for _, body := range no {
		m := read(answer(200, body), true)
		assert.False(t, m.OK, body)
		assert.False(t, m.Final, body)
		assert.True(t, m.Unexpected, body)
		assert.NotEmpty(t, m.Detail, body)
	}
	assert.Equal(t, "x", read(answer(200, `{"message":"m","errors":["x"]}`), false).Text)
	assert.Equal(t, "m", read(answer(200, `{"message":"m","ok":false}`), false).Text)
	for _, mixed := range []string{"Internal Server Error", "Continue", "OK", "Found"} { // only names of a 4xx are ignored
		assert.Equal(t, reply.None, read(answer(422, `{"errors":["`+mixed+`","Submission not found"]}`), false).Refusal, mixed)
	}
	assert.Equal(t, reply.SubmissionNotFound, read(answer(422, `{"errors":["Bad Request","Submission not found"]}`), false).Refusal)
}

// The commas in an answer limit what is decoded.
func TestTooManyValues(t *testing.T) {
	t.Parallel()
	const tooMany = "the answer has too many values"
	nested := func(n int) string { return `{"a":{"b":[` + strings.Repeat("0,", n) + `0]}}` }
	list := func(n int, element string) string {
		return `{"offers":[` + strings.Repeat(element+",", n) + element + `]}`
	}
	for body, want := range map[string]string{
		nested(100_000): "", nested(100_001): tooMany, list(5_000, "0"): "", list(5_001, "0"): tooMany,
		"{" + strings.Repeat(`"a":0,`, 5_000) + `"b":0}`: "",
		"{" + strings.Repeat(`"a":0,`, 5_001) + `"b":0}`: tooMany,
		list(2_000, `{"a":[0,0],"b":0}`):                 "",
		list(5_001, `{"a":[0],"b":{}}`):                  tooMany,
		list(5_000, `[0,0]`):                             "",
		list(2_000, `",,,,\",,,,[[{{"`):                  "",
		list(2_000, `["]","}",0,0,"\\\\"]`):              "",
		list(5_001, `["]","}",0,0,"\\\\"]`):              tooMany,
		list(5_001, `"\""`):                              tooMany,
	} {
		assert.Equal(t, want, read(answer(200, body), false).Detail, "%.40s, %d bytes", body, len(body))
	}
}
