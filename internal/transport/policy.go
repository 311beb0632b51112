package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// temporary says whether a status is worth another try.
func temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= 500 && status <= 599
}

// passing says whether an attempt's error is worth another try: a connection
// that failed or broke, an answer that was cut. What a second try would only
// repeat is not: certificates, a host that does not exist, plain HTTP where
// TLS was expected, a proxy or an address that is configured wrongly.
func passing(err error) bool {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, context.Canceled) {
		return false
	}
	if as[*tls.CertificateVerificationError](err) || as[x509.UnknownAuthorityError](err) || as[tls.RecordHeaderError](err) {
		return false
	}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		// A TLS alert, theirs or ours, comes as one of these.
		return op.Op != "remote error" && op.Op != "local error"
	}
	if address := (*url.Error)(nil); errors.As(err, &address) && address.Op == "parse" {
		return false
	}
	text := err.Error()
	return !strings.Contains(text, "unsupported protocol scheme") &&
		!strings.Contains(text, "invalid header field") &&
		!strings.Contains(text, "no Host in request URL")
}

func as[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
