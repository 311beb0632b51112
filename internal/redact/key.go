// Package redact keeps the API key out of every text that a program can show,
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

	// shortest is the length from which a key is redacted. A shorter one is part
	// of many words and protects nothing.
	shortest = 4
)

// escapes are the ways in which Go, PHP, Ruby and Python escape in JSON and in
// HTML. Package html is not used: it adds a table of 70 KB to every program.
var escapes = []*strings.Replacer{
	strings.NewReplacer(`\`, `\\`, `"`, `\"`),
	strings.NewReplacer(`\`, `\\`, `"`, `\"`, "/", `\/`),
	strings.NewReplacer(`\`, `\\`, `"`, `\"`, "<", `\u003c`, ">", `\u003e`, "&", `\u0026`),
	strings.NewReplacer(`\`, `\\`, `"`, `\"`, "<", `\u003c`, ">", `\u003e`, "&", `\u0026`, "/", `\/`),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"),
}

// Key holds an API key where fmt cannot print it: in its closures alone.
type Key struct {
	// Set puts the key on one request.
	Set func(http.Header)

	// Redact replaces the key in a text that a server sent, also where it is
	// escaped as in JSON, HTML or a URL.
	Redact func(string) string

	// Mark returns a short text that differs between two keys, for the same salt.
	Mark func(salt string) string

	// RedactHeader returns a copy without the key: replaced in a value; a
	// name that holds it goes, whatever its case.
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
	// The longest first: it may begin with a shorter one. Most keys have but one.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, redacted)
	}
	replacer := strings.NewReplacer(pairs...)
	redact := func(s string) string {
		// No form is shorter than the key, and most texts are.
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

// lowerHex writes the digits of a URL's escapes in lower case.
func lowerHex(escaped string) string {
	parts := strings.Split(escaped, "%")
	for i, part := range parts[1:] {
		parts[i+1] = strings.ToLower(part[:2]) + part[2:]
	}
	return strings.Join(parts, "%")
}
