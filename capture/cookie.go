package capture

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const (
	// maxCookie is the most that the cookie's value has; a longer one is not
	// ours.
	maxCookie = 2048

	// maxCookies is how many cookies of our name are read: two if Domain was
	// changed, more only from somebody who plays.
	maxCookies = 4

	separator = "~"

	cacheControl = "private, no-store"
)

// hasCookie says whether a request brings our cookie.
func (c *Capture) hasCookie(r *http.Request) bool {
	for _, line := range r.Header["Cookie"] {
		if _, _, ok := c.nextCookie(line); ok {
			return true
		}
	}
	return false
}

// nextCookie finds the first cookie of our name in a header's line, and what
// follows it.
func (c *Capture) nextCookie(line string) (value, rest string, ok bool) {
	for from := 0; ; {
		i := strings.Index(line[from:], c.needle)
		if i < 0 {
			return "", "", false
		}
		i += from
		from = i + len(c.needle)
		if before := strings.TrimRight(line[:i], " \t"); before != "" && before[len(before)-1] != ';' {
			continue // the end of another cookie's name, or in its value
		}
		value, rest, _ = strings.Cut(line[from:], ";")
		return strings.Trim(value, " \t"), rest, true
	}
}

// readVisit reads what the request's cookies keep. Whatever is not exactly what
// this package writes is passed over.
func (c *Capture) readVisit(r *http.Request) *visit {
	v := &visit{}
	for _, line := range r.Header["Cookie"] {
		for v.cookies < maxCookies {
			value, rest, ok := c.nextCookie(line)
			if !ok {
				break
			}
			line = rest
			v.cookies++
			c.readCookie(v, value)
		}
	}
	if len(v.kept) > c.opts.MaxOffers {
		v.kept = v.kept[:c.opts.MaxOffers]
	}
	return v
}

func (c *Capture) readCookie(v *visit, value string) {
	if len(value) > maxCookie {
		return
	}
	for part := range strings.SplitSeq(value, separator) {
		t, err := sparkloop.DecodeTracking(part)
		if err != nil || t.CapturedAt.IsZero() || c.acceptable(t) != nil {
			continue
		}
		i := find(v.kept, t.Offer)
		if i >= 0 && t.CapturedAt.After(v.kept[i].CapturedAt) == (c.opts.Policy == FirstClick) {
			continue // of two cookies, the one that the policy prefers
		}
		v.kept = append(drop(v.kept, t.Offer), t)
	}
	slices.SortStableFunc(v.kept, func(a, b sparkloop.Tracking) int { return b.CapturedAt.Compare(a.CapturedAt) })
}

func encodedLen(ts []sparkloop.Tracking) int {
	n := 0
	for _, t := range ts {
		n += len(t.Encode()) + len(separator)
	}
	return n
}

// setCookie writes the cookie to a header if the visit has changed.
func (c *Capture) setCookie(h http.Header, r *http.Request, v *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done = true
	if !v.changed {
		return
	}
	parts := make([]string, len(v.kept))
	var until time.Time
	for i, t := range v.kept {
		parts[i] = t.Encode()
		if expires := t.ExpiresAt(); expires.After(until) {
			until = expires
		}
	}
	cookie := &http.Cookie{
		Name: c.opts.CookieName, Value: strings.Join(parts, separator),
		Path: "/", Domain: c.opts.Domain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || c.prefixed() || !c.opts.Insecure && !isLoopback(r.Host),
		MaxAge: -1,
	}
	if len(v.kept) > 0 {
		cookie.MaxAge = int(until.Sub(c.now()) / time.Second)
	}
	h.Add("Set-Cookie", cookie.String())
	if c.opts.Domain != "" && v.cookies > 0 {
		// One that was set before there was a Domain would bring back what
		// this one no longer has.
		alone := *cookie
		alone.Domain, alone.Value, alone.MaxAge = "", "", -1
		h.Add("Set-Cookie", alone.String())
	}
	private(h)
}

// prefixed says whether the name is one that browsers take with Secure alone.
func (c *Capture) prefixed() bool {
	return strings.HasPrefix(c.needle, "__Host-") || strings.HasPrefix(c.needle, "__Secure-")
}

// pending takes our cookie back from a response's header, where an earlier call
// for the same response has put it.
func (c *Capture) pending(h http.Header) (value string, ok bool) {
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		rest, ours := strings.CutPrefix(line, c.needle)
		if ours && !ok {
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

// private keeps the response out of every cache, those with headers of their
// own included.
func private(h http.Header) {
	for name := range h {
		if strings.HasSuffix(name, "-Cache-Control") || name == "Surrogate-Control" || name == "Expires" {
			h.Del(name)
		}
	}
	h.Set("Cache-Control", cacheControl)
}

// isLoopback says whether a Host header names the own machine, where browsers
// do without TLS; Safari sends no Secure cookie there.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
