package reply

import (
	"errors"
	"net/http"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// Meaning is the meaning of an answer for a call.
type Meaning struct {
	OK      bool
	Refusal Refusal
	// Final is true if a retry cannot succeed.
	Final bool
	// Unexpected is true if the status does not show the failure: a success
	// status with an error, a redirect, a body that is too large.
	Unexpected bool
	// Text is the API's own text, unchanged.
	Text string
	// Detail describes the problem, or what answered instead of the API. It may
	// contain a server's text.
	Detail string
	// Form is what the answer proves about the form of the endpoint.
	Form endpoint.Verdict
}

// Read decodes a success into a body, and finds the meaning of any other
// answer. proven is true if the form of the endpoint is known to be right.
func Read(a *transport.Answer, into Body, proven bool) Meaning {
	switch {
	case a.StatusCode == 0:
		return Meaning{Form: endpoint.Unclear}
	case errors.Is(a.Err, transport.ErrTooLarge):
		return Meaning{Unexpected: true, Form: endpoint.Other}
	case a.StatusCode/100 == 2 && a.Err == nil:
		problem := decode(a.Body, into)
		if problem == "" {
			return Meaning{OK: true, Form: endpoint.Proven}
		}
		said := *into.envelope()
		into.Reset() // another form may be tried
		m := Meaning{Unexpected: true, Text: said.Text(), Detail: problem, Form: endpoint.Other}
		switch {
		case said.refusal() != None:
			m.Form = endpoint.Proven
		case !isObject(a.Body) && page(a) != "":
			m.Detail += ", " + page(a)
		}
		return m
	case a.StatusCode < 400 || a.StatusCode > 599:
		return Meaning{Unexpected: true, Detail: redirect(a), Form: form(a)}
	}
	return failure(a, proven)
}

// failure reads a 4xx or 5xx.
func failure(a *transport.Answer, proven bool) Meaning {
	var said Envelope
	m := Meaning{Form: form(a)}
	if unmarshal(a.Body, &said) == "" {
		m.Text = said.Text()
	} else {
		m.Detail = page(a)
	}
	if a.Err != nil || !aboutTheCall(a.StatusCode) {
		return m
	}
	if m.Refusal = said.refusal(); m.Refusal != None {
		m.Final, m.Form = true, endpoint.Proven
		return m
	}
	switch a.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity:
		m.Final = proven && m.Text != ""
	}
	return m
}

// aboutTheCall reports whether a documented refusal counts with this status.
// Any other status is about the sender, or temporary.
func aboutTheCall(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status <= 499
}

// form returns what an unproven answer says about the form.
func form(a *transport.Answer) endpoint.Verdict {
	switch a.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		if a.Err == nil {
			return endpoint.Absent
		}
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return endpoint.Unclear
	}
	if a.Err != nil {
		return endpoint.Unclear // the answer was cut off, or the call was cancelled
	}
	return endpoint.Other
}
