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

// temporary reports whether a status is retried.
func temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= 500 && status <= 599
}

// passing reports whether an attempt's error is retried: a connection failed or
// broke, or an answer was cut off. Errors that would repeat are not retried: a
// bad certificate, an unknown host, plain HTTP instead of TLS, a proxy's
// refusal, a malformed address.
func passing(err error) bool {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, context.Canceled) {
		return false
	}
	if is[*tls.CertificateVerificationError](err) || is[x509.UnknownAuthorityError](err) || is[tls.RecordHeaderError](err) {
		return false
	}
	if proxy, ok := errors.AsType[*ProxyError](err); ok {
		return temporary(proxy.StatusCode)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return !dns.IsNotFound
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		// "remote error" and "local error" are TLS alerts.
		return op.Op != "remote error" && op.Op != "local error"
	}
	if address, ok := errors.AsType[*url.Error](err); ok && address.Op == "parse" {
		return false
	}
	text := err.Error()
	return !strings.Contains(text, "unsupported protocol scheme") &&
		!strings.Contains(text, "invalid header field") &&
		!strings.Contains(text, "no Host in request URL")
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
