package capture

import (
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// maxCookie is the longest value that is written or read.
	maxCookie = 2048

	// maxCookies limits the cookies of our name that are read. There are two
	// after a change of Domain.
	maxCookies = 4

	separator = "~"

	cacheControl = "private, no-store"
)

// cookies yields the cookies of a request, each as "name=value". Every page view
// pays for it.
func cookies(r *http.Request) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range r.Header["Cookie"] {
			for line != "" {
				cookie := line
				if i := strings.IndexByte(line, ';'); i >= 0 {
					cookie, line = line[:i], line[i+1:]
				} else {
					line = ""
				}
				for cookie != "" && (cookie[0] == ' ' || cookie[0] == '\t') {
					cookie = cookie[1:]
				}
				if !yield(cookie) {
					return
				}
			}
		}
	}
}

// hasCookie reports whether a request has our cookie, or one of SparkLoop's
// script.
func (c *Capture) hasCookie(r *http.Request) bool {
	for cookie := range cookies(r) {
		if strings.HasPrefix(cookie, c.needle) || strings.HasPrefix(cookie, scriptSubmission) {
			return true
		}
	}
	return false
}

// readVisit reads the request's cookies. Entries in any other format than this
// package writes are ignored.
func (c *Capture) readVisit(r *http.Request) *visit {
	v := &visit{}
	for cookie := range cookies(r) {
		if value, ours := strings.CutPrefix(cookie, c.needle); ours && v.cookies < maxCookies {
			v.cookies++
			c.readCookie(v, strings.Trim(value, " \t"))
		}
	}
	v.trim(c.opts.MaxOffers)
	return v
}

func (c *Capture) readCookie(v *visit, value string) {
	if len(value) > maxCookie {
		return
	}
	now := c.now()
	for part := range strings.SplitSeq(value, separator) {
		if m, ok := readMark(part, now); ok && !slices.ContainsFunc(v.spent, m.same) {
			v.spent = append(v.spent, m)
			continue
		}
		t, err := sparkloop.DecodeTracking(part)
		if err != nil || t.CapturedAt.IsZero() || c.acceptable(t) != nil {
			continue
		}
		if i := find(v.kept, t.Offer); i >= 0 && !c.prefers(t, v.kept[i]) {
			continue
		}
		v.kept = append(drop(v.kept, t.Offer), t)
	}
	v.kept = slices.DeleteFunc(v.kept, func(t sparkloop.Tracking) bool { return isSpent(v.spent, t) })
	slices.SortStableFunc(v.kept, compare)
}

// prefers reports whether t counts and other does not, for two clicks on one
// offer.
func (c *Capture) prefers(t, other sparkloop.Tracking) bool {
	if t.Test != other.Test {
		return other.Test
	}
	return t.CapturedAt.After(other.CapturedAt) == (c.opts.Policy == LastClick)
}

// setCookie writes the cookie to a header if the visit has changed.
func (c *Capture) setCookie(h http.Header, r *http.Request, v *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.done = true; !v.changed {
		return
	}
	private(h)
	if c.isSet(h) {
		return // by a nested Capture with the same cookie name
	}
	var until time.Time
	for _, t := range v.kept {
		until = later(until, expires(t))
	}
	for _, m := range v.spent {
		until = later(until, m.until())
	}
	cookie := &http.Cookie{
		Name: c.opts.CookieName, Value: encode(v.kept, v.spent),
		Path: "/", Domain: c.opts.Domain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || c.prefixed() || !c.opts.Insecure && !isLoopback(r.Host),
		MaxAge: -1,
	}
	if cookie.Value != "" {
		cookie.MaxAge = int(until.Sub(c.now()) / time.Second)
		c.refusals.warn(c, r)
	}
	if c.opts.Domain != "" && v.cookies > 0 {
		// A host-only cookie from before Domain was set would restore removed
		// entries. Its deletion comes first: Go's cookiejar does not tell the
		// two apart.
		alone := *cookie
		alone.Domain, alone.Value, alone.MaxAge = "", "", -1
		h.Add("Set-Cookie", alone.String())
	}
	h.Add("Set-Cookie", cookie.String())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// isSet reports whether a response already sets our cookie.
func (c *Capture) isSet(h http.Header) bool {
	return slices.ContainsFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, c.needle) })
}

// prefixed reports whether browsers require Secure for the cookie's name.
func (c *Capture) prefixed() bool {
	return strings.HasPrefix(c.needle, "__Host-") || strings.HasPrefix(c.needle, "__Secure-")
}

// pending removes our cookie from a response header, where an earlier call for
// the same response may have set it.
func (c *Capture) pending(h http.Header) (value string, ok bool) {
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		rest, ours := strings.CutPrefix(line, c.needle)
		if ours { // the last cookie counts
			value, _, _ = strings.Cut(rest, ";")
			ok = true
		}
		return ours
	})
	if len(h["Set-Cookie"]) == 0 {
		delete(h, "Set-Cookie")
	}
	return value, ok
}

// private keeps the response out of every cache, including caches with headers
// of their own.
func private(h http.Header) {
	for name := range h {
		if strings.HasSuffix(name, "-Cache-Control") || name == "Surrogate-Control" || name == "Expires" {
			h.Del(name)
		}
	}
	h.Set("Cache-Control", cacheControl)
}

// isLoopback reports whether a Host header names the local machine. Safari
// sends no Secure cookie there over plain http.
func isLoopback(host string) bool {
	host = hostname(host)
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
