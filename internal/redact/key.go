// Package redact removes the API key from every text that a program may show,
// and makes a server's text fit for a log line.
package redact

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	redacted = "[redacted]"

	// shortest is the shortest key that is redacted. A shorter key is part of
	// many words and protects nothing.
	shortest = 4
)

// escapes are the escapes of Go, PHP, Ruby and Python in JSON and HTML. Package
// html is not used, because it adds a table of 70 KB to every program.
var escapes = []*strings.Replacer{
	strings.NewReplacer(`\`, `\\`, `"`, `\"`),
	strings.NewReplacer(`\`, `\\`, `"`, `\"`, "/", `\/`),
	strings.NewReplacer(`\`, `\\`, `"`, `\"`, "<", `\u003c`, ">", `\u003e`, "&", `\u0026`),
	strings.NewReplacer(`\`, `\\`, `"`, `\"`, "<", `\u003c`, ">", `\u003e`, "&", `\u0026`, "/", `\/`),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"),
}

// Key holds an API key in closures, where fmt cannot print it.
type Key struct {
	// Set sets the key on a request's header.
	Set func(http.Header)

	// Redact replaces the key in a server's text, also if the key is escaped as
	// in JSON, HTML or a URL.
	Redact func(string) string

	// Mark returns a short text that depends on the key and the salt.
	Mark func(salt string) string

	// RedactHeader returns a copy without the key. The key is replaced in
	// values; a name that contains the key is removed, in any case.
	RedactHeader func(http.Header) http.Header
}

// NewKey returns the Key for an API key.
func NewKey(key string) Key {
	forms := []string{key}
	for _, escape := range escapes {
		forms = append(forms, escape.Replace(key))
	}
	for _, inURL := range []string{url.QueryEscape(key), url.PathEscape(key)} {
		forms = append(forms, inURL, lowerHex(inURL))
	}
	// Longest first, because a form may begin with a shorter one.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, redacted)
	}
	replacer := strings.NewReplacer(pairs...)
	redact := func(s string) string {
		// Fast path: most texts are shorter than the key.
		if len(key) < shortest || len(s) < len(key) {
			return s
		}
		return replacer.Replace(s)
	}
	value, lower := []string{key}, strings.ToLower(key)
	return Key{
		Set:    func(h http.Header) { h["X-Api-Key"] = value },
		Redact: redact,
		Mark:   func(salt string) string { return mark(key, salt) },
		RedactHeader: func(h http.Header) http.Header {
			clean := make(http.Header, len(h))
			for name, values := range h {
				if len(key) >= shortest && strings.Contains(strings.ToLower(name), lower) {
					continue
				}
				for _, v := range values {
					clean[name] = append(clean[name], redact(v))
				}
			}
			return clean
		},
	}
}

// lowerHex writes the hex digits of a URL's escapes in lower case.
func lowerHex(escaped string) string {
	parts := strings.Split(escaped, "%")
	for i, part := range parts[1:] {
		parts[i+1] = strings.ToLower(part[:2]) + part[2:]
	}
	return strings.Join(parts, "%")
}
